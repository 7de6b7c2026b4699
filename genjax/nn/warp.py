"""Affine maps of images, for augmentation: matrices of the plane, and images seen through them.

Points are (x, y, 1) in pixels from the image's centre, x to the right and y down. Shapes: B batch, H height, W width, C
channels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["compose", "rotation", "scaling", "translation", "warp"]

Array = jax.Array

# Daubechies' least asymmetric orthogonal wavelet of 12 taps, its low pass ("sym6").
SYM6 = np.float32(
    [0.015404109, 0.0034907121, -0.11799011, -0.048311743, 0.49105594, 0.78764114]
    + [0.33792943, -0.072637523, -0.021060293, 0.044724902, 0.001767711, -0.0078007083]
)
CENTRE = 5  # its largest tap

EXACT = jax.lax.Precision.HIGHEST  # bfloat16's three digits, which TPUs multiply in, would miss pixels


def compose(*matrices_BNN: Array) -> Array:
    """(B, N, N): their product. The last is applied to a point first."""
    return functools.reduce(functools.partial(jnp.matmul, precision=EXACT), matrices_BNN)


def translation(x_B: Array, y_B: Array) -> Array:
    """(B, 3, 3): moves points by (x, y) pixels."""
    one, zero = jnp.ones_like(x_B), jnp.zeros_like(x_B)
    return _matrix((one, zero, x_B), (zero, one, y_B))


def scaling(x_B: Array, y_B: Array) -> Array:
    """(B, 3, 3): multiplies the distances from the centre."""
    zero = jnp.zeros_like(x_B)
    return _matrix((x_B, zero, zero), (zero, y_B, zero))


def rotation(angle_B: Array) -> Array:
    """(B, 3, 3): turns points by an angle in radians, from x to y, which looks clockwise."""
    cos, sin, zero = jnp.cos(angle_B), jnp.sin(angle_B), jnp.zeros_like(angle_B)
    return _matrix((cos, -sin, zero), (sin, cos, zero))


def warp(image_BHWC: Array, matrix_B33: Array) -> Array:
    """(B, H, W, C) float32: at each point p the image at matrix p. So the picture moves by the matrix' inverse.

    Beyond its edges the image goes on mirrored, for ever. As in Karras et al. 2020 (arXiv:2006.06676, appendix B.2) it
    is enlarged twice by the wavelet's low pass, mapped with bilinear interpolation, and reduced by the same filter: the
    identity returns the image, and no frequencies fold where it shrinks by less than two. Each image gets its own
    matrix and depends on no other of the batch.
    """
    height, width = image_BHWC.shape[1:3]
    fine = _enlarge(_enlarge(image_BHWC.astype(jnp.float32), 1), 2)
    row, column = (jnp.arange(-CENTRE, 2 * size + CENTRE) - (size - 1) for size in (height, width))
    y, x = jnp.meshgrid(row / 2, column / 2, indexing="ij")  # of the result's finer pixels
    point_3PQ = jnp.stack([x, y, jnp.ones_like(x)])
    x, y = (jnp.tensordot(matrix_B33[:, i], point_3PQ, axes=1, precision=EXACT) for i in (0, 1))
    fine = _bilinear(fine, 2 * y + (height - 1), 2 * x + (width - 1))
    return _reduce(_reduce(fine, 1), 2)


def _matrix(first: tuple[Array, ...], second: tuple[Array, ...]) -> Array:
    last = jnp.broadcast_to(jnp.float32([0, 0, 1]), (*first[0].shape, 3))
    return jnp.stack([jnp.stack(first, axis=-1), jnp.stack(second, axis=-1), last], axis=-2)


def _enlarge(x: Array, axis: int) -> Array:
    """One period of the mirrored image, 2 (size - 1) pixels, twice as fine along the axis: pixel i comes to 2 i."""
    x = jnp.moveaxis(x, axis, -1)
    x = jnp.concatenate([x, x[..., -2:0:-1]], axis=-1)
    taps = np.arange(len(SYM6)) - CENTRE
    halves = []
    for odd in (0, 1):  # fine[n] = sum over i of x[i] SYM6[n - 2 i + CENTRE]
        wanted = [(t, SYM6[t + CENTRE]) for t in taps if t % 2 == odd]
        halves.append(sum(np.float32(tap) * jnp.roll(x, (t - odd) // 2, axis=-1) for t, tap in wanted))
    x = jnp.stack(halves, axis=-1)
    return jnp.moveaxis(x.reshape(*x.shape[:-2], -1), -1, axis)


def _reduce(x: Array, axis: int) -> Array:
    """Half as fine, the transpose of `_enlarge`: pixel m from 2 m - CENTRE on, where the array begins with m = 0."""
    size = x.shape[axis] // 2 - CENTRE
    slices = (jax.lax.slice_in_dim(x, k, k + 2 * size - 1, 2, axis) for k in range(len(SYM6)))
    return sum(np.float32(tap) * part for tap, part in zip(SYM6, slices, strict=True))


def _bilinear(x_BHWC: Array, row_BPQ: Array, column_BPQ: Array) -> Array:
    """(B, P, Q, C) of a periodic image at any rows and columns."""
    h, w = x_BHWC.shape[1:3]
    top, left = jnp.floor(row_BPQ), jnp.floor(column_BPQ)
    down, right = (row_BPQ - top)[..., None], (column_BPQ - left)[..., None]
    look = jax.vmap(lambda image, row, column: image[row % h, column % w])

    def at(dy: int, dx: int) -> Array:
        return look(x_BHWC, top.astype(jnp.int32) + dy, left.astype(jnp.int32) + dx)

    upper = at(0, 0) * (1 - right) + at(0, 1) * right
    return upper * (1 - down) + (at(1, 0) * (1 - right) + at(1, 1) * right) * down
