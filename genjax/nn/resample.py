"""Doubled and halved resolution through the filter [1, 3, 3, 1], alone and with a 3x3 convolution (StyleGAN2).

Between pixels the filter is bilinear interpolation; beyond the edges are zeros. With a convolution it is folded into
the kernel: both are one 3x3 convolution at the lower resolution, before depth-to-space or after space-to-depth. A
transposed convolution and a filter need half the multiplications, but the second derivatives of those, which gradient
penalties take, are ten times slower on XLA:CPU, as are those of convolutions whose padding is not "SAME". On a CPU
`conv_up` has its values from the former and its derivatives from the latter.
"""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.nn.conv import depth_to_space, space_to_depth
from genjax.nn.sharding import platform

__all__ = ["conv", "conv_down", "conv_up", "downsample", "upsample"]

Array = jax.Array

FOLDED = np.float32([[1, 0, 0], [3, 1, 0], [3, 3, 1], [1, 3, 3], [0, 1, 3], [0, 0, 1]]) / 8  # filter after filter


def conv(x_BHWC: Array, kernel: Array, groups: int = 1, padding: str | list[tuple[int, int]] = "SAME") -> Array:
    """(B, H, W, in) -> (B, H, W, out) by a kernel (k, k, in / groups, out)."""
    form = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x_BHWC, kernel, (1, 1), padding, dimension_numbers=form, feature_group_count=groups
    )


def upsample(x_BHWC: Array) -> Array:
    """(B, H, W, C) -> (B, 2H, 2W, C)."""
    for axis in (1, 2):
        before, here, after = _strided(x_BHWC, axis, 3, 1)
        pair = jnp.stack([before + 3 * here, 3 * here + after], axis + 1) / 4
        x_BHWC = pair.reshape(*here.shape[:axis], -1, *here.shape[axis + 1 :])
    return x_BHWC


def downsample(x_BHWC: Array) -> Array:
    """(B, H, W, C) -> (B, H/2, W/2, C), of even sides."""
    return _filtered(x_BHWC, 2)


def conv_up(x_BHWC: Array, kernel_33IO: Array) -> Array:
    """(B, H, W, I) -> (B, 2H, 2W, O): the transposed convolution of stride 2, then the filter, times four.

    Tap k of the kernel leads from pixel i to pixel 2 i + k, before the filter.
    """
    return (_transposed if platform() == "cpu" else _folded_up)(x_BHWC, kernel_33IO)


def _folded_up(x_BHWC: Array, kernel_33IO: Array) -> Array:
    kernel = _folded(4 * kernel_33IO)[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
    return depth_to_space(conv(x_BHWC, kernel.reshape(3, 3, kernel.shape[2], -1)))


@jax.custom_jvp
def _transposed(x_BHWC: Array, kernel_33IO: Array) -> Array:
    """A convolution for each of the four pixels of a square, of the taps that lead there; the filter after them."""
    b, h, w, _ = x_BHWC.shape
    square = [[_from_taps(x_BHWC, kernel_33IO[i::2, j::2]) for j in (0, 1)] for i in (0, 1)]
    y = jnp.stack([jnp.stack(row, 3) for row in square], 2)  # (B, H+1, 2, W+1, 2, O)
    return 4 * _filtered(y.reshape(b, 2 * h + 2, 2 * w + 2, -1)[:, :-1, :-1], 1)


@_transposed.defjvp
def _transposed_jvp(primals, tangents):
    return _transposed(*primals), jax.jvp(_folded_up, primals, tangents)[1]


def _from_taps(x_BHWC: Array, kernel_hwIO: Array) -> Array:
    """(B, H, W, I) -> (B, H+1, W+1, O): tap k, of two or one along an axis, leads from pixel i to pixel i + k."""
    padding = [(side - 1, 1) for side in kernel_hwIO.shape[:2]]
    return conv(x_BHWC, kernel_hwIO[::-1, ::-1], padding=padding)


def conv_down(x_BHWC: Array, kernel_33IO: Array) -> Array:
    """(B, H, W, I) -> (B, H/2, W/2, O): the filter, then a 3x3 convolution of stride 2."""
    kernel = _folded(kernel_33IO).transpose(0, 2, 1, 3, 4, 5)
    return conv(space_to_depth(x_BHWC), kernel.reshape(3, 3, -1, kernel.shape[-1]))


def _folded(kernel_33IO: Array) -> Array:
    """The six taps of filter and kernel along both axes, in pairs: (3, 2, 3, 2, I, O)."""
    taps = FOLDED.astype(kernel_33IO.dtype)
    kernel = jnp.einsum("hx,wy,xyio->hwio", taps, taps, kernel_33IO)
    return kernel.reshape(3, 2, 3, 2, *kernel.shape[2:])


def _filtered(x_BHWC: Array, stride: int) -> Array:
    """The filter along both axes, at every `stride`-th place."""
    for axis in (1, 2):
        a, b, c, d = _strided(x_BHWC, axis, 4, stride)
        x_BHWC = (a + 3 * (b + c) + d) / 8
    return x_BHWC


def _strided(x: Array, axis: int, count: int, stride: int) -> list[Array]:
    """Every `stride`-th pixel along an axis, from `count` places on, the first of them one before the image."""
    x = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)])
    length = x.shape[axis] - count + 1
    return [jax.lax.slice_in_dim(x, k, k + length, stride, axis) for k in range(count)]
