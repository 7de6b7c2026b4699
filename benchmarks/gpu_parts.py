"""What is measured on a GPU: one function a part, of (tiny), to the fields it adds to the record."""

import importlib.util
import time
from collections.abc import Callable
from functools import partial

__all__ = ["PARTS", "Part"]

NEEDED = ("jax", "flax", "optax", "orbax", "numpy")
OPTIONAL = ("torch", "transformers", "diffusers", "chex", "PIL", "sklearn", "safetensors", "tokenizers", "grain")
OPTIONAL += ("tyro", "tensorflow_datasets", "tensorboardX", "matplotlib", "jinja2")

Part = Callable[[bool], dict]


def machine(tiny: bool) -> dict:
    """The hardware, and which packages are there."""
    import jax
    import records

    found = {name: importlib.util.find_spec(name) is not None for name in NEEDED + OPTIONAL}
    return {"hardware": records.hardware(), "checks": {"packages": found, "device": str(jax.devices()[0].device_kind)}}


def attention(tiny: bool) -> dict:
    """The largest differences from float32 of cuDNN's and XLA's attention in bfloat16, and their times."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from genjax.nn.attention import Mask

    b, t, h, c = (2, 16, 2, 8) if tiny else (8, 1024, 12, 64)
    lengths = jnp.asarray(np.random.default_rng(0).integers(t // 4, t + 1, b), jnp.int32)
    cases = {  # mask, key-value heads
        "causal": (Mask(causal=True), h),
        "full": (Mask(), h),
        "lengths": (Mask(lengths_B=lengths), h),
        "causal, lengths": (Mask(causal=True, lengths_B=lengths), h),
        "window": (Mask(causal=True, window=t // 4), h),
        "causal, grouped heads": (Mask(causal=True), h // 2),
    }
    kernel = "xla" if jax.default_backend() == "cpu" else "cudnn"
    result = {}
    for name, (mask, heads) in cases.items():
        keys = jax.random.split(jax.random.key(0), 4)
        shapes = ((b, t, h, c), (b, t, heads, c), (b, t, heads, c), (b, t, h, c))
        *qkv, pull = (jax.random.normal(key, shape).astype(jnp.bfloat16) for key, shape in zip(keys, shapes))
        counts = jnp.arange(t) < (jnp.full(b, t) if mask.lengths_B is None else mask.lengths_B)[:, None]
        pull = pull * counts[..., None, None]  # what padding says as a query means nothing
        right = _with_gradient("xla", mask, counts)([x.astype(jnp.float32) for x in qkv], pull.astype(jnp.float32))
        entry = {}
        for implementation in dict.fromkeys(("xla", kernel)):
            function = _with_gradient(implementation, mask, counts)
            got = function(qkv, pull)
            errors = [float(jnp.abs(a.astype(jnp.float32) - e).max()) for a, e in zip(got, right)]
            entry[implementation] = {
                "error": dict(zip(("forward", "dq", "dk", "dv"), errors)),
                "ms": 1e3 * seconds(function, qkv, pull),
            }
        entry["largest"] = dict(zip(("forward", "dq", "dk", "dv"), (float(jnp.abs(e).max()) for e in right)))
        result[name] = entry
    return {"checks": {"attention": {"shape": [b, t, h, c], "kernel": kernel, "cases": result}}}


def _with_gradient(implementation: str, mask, counts_BT) -> Callable:
    """(queries, keys, values), cotangent -> output and the three gradients."""
    import jax

    from genjax.nn.attention import attention

    def run(qkv, pull):
        precision = jax.lax.Precision.HIGHEST if qkv[0].dtype == "float32" else None
        with jax.default_matmul_precision(precision and "highest"):
            out, vjp = jax.vjp(lambda *x: attention(*x, mask, implementation=implementation), *qkv)
            return out * counts_BT[..., None, None], *vjp(pull)[0:3]

    return jax.jit(run)


def seconds(function: Callable, *arguments, calls: int = 20) -> float:
    """A call, several in flight; the best of three."""
    import jax

    jax.block_until_ready(function(*arguments))

    def once() -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            result = function(*arguments)
        jax.block_until_ready(result)
        return (time.perf_counter() - begin) / calls

    return min(once() for _ in range(3))


def peaks(tiny: bool) -> dict:
    """FLOP/s of large matrix products, and bytes/s of a pass over memory, read and written."""
    import jax
    import jax.numpy as jnp

    size, count = (256, 2**16) if tiny else (8192, 2**29)
    rates = {}
    for name, dtype, precision in (
        ("bfloat16", "bfloat16", "default"),
        ("float32 (default: TF32 on NVIDIA)", "float32", "default"),
        ("float32 (highest)", "float32", "highest"),
    ):
        x = jax.random.normal(jax.random.key(0), (size, size), dtype)
        rates[name] = 2 * size**3 / seconds(jax.jit(partial(jnp.matmul, precision=precision)), x, x)
    x = jnp.ones(count, jnp.bfloat16)
    rate = 2 * x.nbytes / seconds(jax.jit(lambda x: x + 1), x)
    return {"checks": {"peaks": {"matmul_flops_per_second": rates, "size": size, "copy_bytes_per_second": rate}}}


def recipe(name: str, tiny: bool) -> dict:
    import jax
    import large

    from genjax.bench.timing import measure

    subject = large.subject(name, tiny)
    gpu = jax.default_backend() != "cpu"
    entry = measure(
        name, subject.experiment, steps=2 if tiny else 30, synthetic=True, spec=subject.spec, measure_peak=not gpu
    )
    return {"recipes": {name: entry}}


def pair(name: str, tiny: bool) -> dict:
    from peers import large, pairs

    made = getattr(large, name)(tiny)
    result = pairs.compare(made, rounds=1 if tiny else 5, seconds=0.01 if tiny else 1.0)
    return {"peers": {made.name: result._asdict()}}


def small_pair(module: str, tiny: bool) -> dict:
    """Of the sizes that CPUs are compared in."""
    from peers import pairs

    made = importlib.import_module(f"peers.{module}").pair("bfloat16")
    result = pairs.compare(made, rounds=1 if tiny else 5, seconds=0.01 if tiny else 1.0)
    return {"peers": {made.name: result._asdict()}}


# In the order of their worth, with the most seconds that each may take.
PARTS: dict[str, tuple[Part, float]] = {
    "machine": (machine, 60),
    "attention": (attention, 100),
    "gpt2_124m": (partial(recipe, "gpt2_124m"), 120),
    "peaks": (peaks, 60),
    "pair_gpt2": (partial(pair, "gpt2"), 150),
    "ddpm_cifar10": (partial(recipe, "ddpm_cifar10"), 150),
    "dit_s2_latent": (partial(recipe, "dit_s2_latent"), 100),
    "vae_mnist": (partial(recipe, "vae_mnist"), 60),
    "dcgan_celeba64": (partial(recipe, "dcgan_celeba64"), 90),
    "pair_unet": (partial(pair, "unet"), 150),
    "pair_dit": (partial(pair, "dit"), 120),
    "pair_ddim": (partial(pair, "sampling"), 120),
    "pair_vae": (partial(small_pair, "vae"), 60),
    "pair_gan": (partial(small_pair, "gan"), 130),
}
