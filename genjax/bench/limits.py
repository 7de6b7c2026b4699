"""The limit that a measurement is held against: the FLOP/s that can be had."""

import time

import jax
import jax.numpy as jnp

from genjax.runtime import compilation, devices

__all__ = ["matmul_flops", "peak_flops"]


def peak_flops(
    device_kind: str, platform: str, dtype: str | None, *, measured: bool
) -> tuple[float | None, str | None]:
    """FLOP/s of one device, and where the figure comes from; None where no figure is kept.

    The devices that JAX simulates on a CPU share its cores: measured there is what all of a process's have together.
    """
    if measured:
        return matmul_flops(platform, dtype), f"measured, {dtype or 'float32'} matrix product"
    known = devices.find(device_kind)
    return (known.flops, "the maker's, bfloat16") if known else (None, None)


def matmul_flops(platform: str, dtype: str | None) -> float:
    """The best FLOP/s of ten square matrix products on one device; on CPU, on all cores of the process."""
    size = 2048 if platform == "cpu" else 8192
    x = jax.random.normal(jax.random.key(0), (size, size), dtype or jnp.float32)  # of ones, a GPU draws less power
    product = jax.jit(jnp.matmul, compiler_options=compilation.options(platform))
    product(x, x).block_until_ready()

    def seconds() -> float:
        start = time.perf_counter()
        product(x, x).block_until_ready()
        return time.perf_counter() - start

    return 2.0 * size**3 / min(seconds() for _ in range(10))
