"""Dense layers as products of two matrices."""

import functools

import flax.linen as nn
import jax

from genjax.nn.sharding import platform

__all__ = ["Dense", "DenseGeneral", "by_rows"]

Array = jax.Array


def by_rows(x: Array, kernel: Array, dimension_numbers, **options) -> Array:
    """`lax.dot_general` of a dense layer; except on TPUs, leading dimensions of x (B, T, ...) are rows of one matrix.

    The same numbers. But the kernel's gradient then contracts one dimension, not several, and XLA:CPU no longer writes
    the gradients of activations transposed, with all that was fused into them: a GPT trains 1.2 times as fast, and on
    a GPU 1.02 times. For TPUs XLA plans an eighth more memory traffic with it. Numbers: benchmarks/NOTES.md.
    """
    if platform() == "tpu":
        return jax.lax.dot_general(x, kernel, dimension_numbers, **options)
    (axes, kernel_axes), _ = dimension_numbers
    leading = x.ndim - len(axes)
    rows = x.reshape(-1, *x.shape[leading:])
    contracted = tuple(axis - leading + 1 for axis in axes), kernel_axes
    tall = kernel.ndim == 2 and kernel.shape[0] > kernel.shape[1] and not any(options.values())
    if tall and platform() == "cpu":
        y = _by_tall(rows, kernel)
    else:
        y = jax.lax.dot_general(rows, kernel, (contracted, ((), ())), **options)
    return y.reshape(*x.shape[:leading], *y.shape[1:])


@jax.custom_jvp
def _by_tall(x_NI: Array, kernel_IO: Array) -> Array:
    """(N, O). The kernel's gradient is (dy' x)', as x' dy takes 1.5 times as long on XLA:CPU where I > O.

    The barrier is there because XLA would turn the former into the latter.
    """
    return x_NI @ kernel_IO


@_by_tall.defjvp
def _by_tall_jvp(primals, tangents):
    (x_NI, kernel_IO), (dx_NI, dkernel_IO) = primals, tangents
    dkernel_OI = jax.lax.optimization_barrier(dkernel_IO.T)
    by_kernel_NO = jax.lax.dot_general(x_NI, dkernel_OI, (((1,), (1,)), ((), ())))
    return _by_tall(x_NI, kernel_IO), _by_tall(dx_NI, kernel_IO) + by_kernel_NO


Dense = functools.partial(nn.Dense, dot_general=by_rows)
DenseGeneral = functools.partial(nn.DenseGeneral, dot_general=by_rows)
