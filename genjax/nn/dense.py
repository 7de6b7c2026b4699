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
    y = jax.lax.dot_general(rows, kernel, (contracted, ((), ())), **options)
    return y.reshape(*x.shape[:leading], *y.shape[1:])


Dense = functools.partial(nn.Dense, dot_general=by_rows)
DenseGeneral = functools.partial(nn.DenseGeneral, dot_general=by_rows)
