"""Images made worse, for models that restore them: what such a model is conditioned on."""

from typing import Literal

import jax
import jax.numpy as jnp

from genjax.nn import noise

__all__ = ["BLUR", "Task", "channels", "degrade", "random_rectangle"]

Array = jax.Array
Task = Literal["none", "super_resolution", "colorize", "deblur", "inpaint"]

BLUR = 2.0  # standard deviation in pixels of the Gaussian blur


def degrade(
    task: Task, image_BHWC: Array, key: Array, index_B: Array, *, factor: int, mask_BHW1: Array | None = None
) -> Array:
    """(B, H, W, C') in [-1, 1], of the image's resolution.

    super_resolution: C' = C, reduced `factor` times by averaging and enlarged again, bicubically, as SR3's input
    (Saharia et al. 2021, arXiv:2104.07636). colorize: C' = 1, the luma of BT.601. deblur: C' = C, blurred.
    inpaint: C' = C + 1, the image with a hole of 0 (a random rectangle, or where `mask_BHW1` is 1), and where it is (1,
    else 0); Palette (Saharia et al. 2021, arXiv:2111.05826) fills the hole with noise instead.
    """
    b, h, w, c = image_BHWC.shape
    if task == "super_resolution":
        small = image_BHWC.reshape(b, h // factor, factor, w // factor, factor, c).mean(axis=(2, 4))
        return jnp.clip(jax.image.resize(small, image_BHWC.shape, "cubic"), -1, 1)
    if task == "colorize":
        luma = jnp.asarray((0.299, 0.587, 0.114)) if c == 3 else jnp.full((c,), 1 / c)
        return jnp.sum(image_BHWC * luma, axis=-1, keepdims=True)
    if task == "deblur":
        return _blur(_blur(image_BHWC, 1), 2)
    if task == "inpaint":
        hole = random_rectangle(key, index_B, h, w) if mask_BHW1 is None else mask_BHW1 > 0.5
        return jnp.concatenate([jnp.where(hole, 0.0, image_BHWC), hole.astype(jnp.float32)], axis=-1)
    raise ValueError(task)


def channels(task: Task, image_channels: int) -> int:
    """C' of `degrade`."""
    return {"none": 0, "colorize": 1, "inpaint": image_channels + 1}.get(task, image_channels)


def random_rectangle(key: Array, index_B: Array, height: int, width: int) -> Array:
    """(B, H, W, 1) bool, True in a rectangle whose sides are a quarter to half of the image's."""
    u = noise.uniform(key, index_B, (4,))

    def inside(size: int, length_B: Array, place_B: Array) -> Array:
        length = jnp.ceil(size * (0.25 + 0.25 * length_B))[:, None]
        start = jnp.floor(place_B[:, None] * (size - length + 1))
        position = jnp.arange(size)[None]
        return (position >= start) & (position < start + length)

    return (inside(height, u[:, 0], u[:, 1])[:, :, None] & inside(width, u[:, 2], u[:, 3])[:, None, :])[..., None]


def _blur(x_BHWC: Array, axis: int) -> Array:
    radius = round(3 * BLUR)
    offsets = jnp.arange(-radius, radius + 1)
    kernel = jnp.exp(-0.5 * jnp.square(offsets / BLUR))
    kernel = kernel / kernel.sum()
    padding = [(0, 0)] * 4
    padding[axis] = (radius, radius)
    padded = jnp.pad(x_BHWC, padding, mode="edge")
    size = x_BHWC.shape[axis]
    return sum(kernel[i] * jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * radius + 1))
