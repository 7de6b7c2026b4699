"""Convolutions and changes of resolution, in the forms that XLA differentiates fast."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.sharding import platform

__all__ = [
    "Downsample",
    "EnlargedConv",
    "TransposedConv",
    "Upsample",
    "crop_to",
    "depth_to_space",
    "doubled",
    "same_for_all_pixels",
    "space_to_depth",
]

Array = jax.Array


def depth_to_space(x_BHWC: Array, r: int = 2) -> Array:
    """(B, H, W, C r^2) -> (B, rH, rW, C): the sub-pixel rearrangement of Shi et al. 2016 (arXiv:1609.05158)."""
    b, h, w, c = x_BHWC.shape
    x = x_BHWC.reshape(b, h, w, r, r, c // r**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * r, w * r, c // r**2)


def space_to_depth(x_BHWC: Array, r: int = 2) -> Array:
    """(B, rH, rW, C) -> (B, H, W, r^2 C), the inverse of `depth_to_space`."""
    b, h, w, c = x_BHWC.shape
    x = x_BHWC.reshape(b, h // r, r, w // r, r, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // r, w // r, r * r * c)


def same_for_all_pixels(init: nn.initializers.Initializer, r: int = 2) -> nn.initializers.Initializer:
    """Kernels whose r^2 output pixels start equal, so that no checkerboard is there to unlearn.

    ICNR of Aitken et al. 2017 (arXiv:1707.02937).
    """

    def initialize(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        return jnp.tile(init(key, (*shape[:-1], shape[-1] // r**2), dtype), r**2)

    return initialize


class Upsample(nn.Module):
    """Doubles the resolution by a convolution followed by depth-to-space.

    It takes the place of a transposed convolution, whose gradient XLA:CPU computes about ten times slower.
    """

    features: int
    kernel: int = 3
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        x = nn.Conv(
            4 * self.features,
            (self.kernel, self.kernel),
            use_bias=self.use_bias,
            kernel_init=same_for_all_pixels(self.kernel_init),
            dtype=self.dtype,
        )(x_BHWC)
        return depth_to_space(x)


class Downsample(nn.Module):
    """A 4x4 convolution of stride 2 and padding 1, as space-to-depth and a 2x2 convolution.

    The same function (test: against `nn.Conv`), but XLA:CPU computes its gradient twice as fast.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        _, h, w, _ = x_BHWC.shape
        x = jnp.pad(x_BHWC, ((0, 0), (1, 1 + h % 2), (1, 1 + w % 2), (0, 0)))
        x = space_to_depth(x)
        return nn.Conv(
            self.features,
            (2, 2),
            padding="VALID",
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )(x)


class TransposedConv(nn.Module):
    """A transposed 4x4 convolution of stride 2 and padding 1 (test: against PyTorch's), as `doubled` computes it."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        c, dtype = x_BHWC.shape[-1], self.dtype or x_BHWC.dtype
        kernel = self.param("kernel", self.kernel_init, (2, 2, c, 4 * self.features))
        kernel = kernel.reshape(2, 2, c, 2, 2, self.features)[:, :, :, ::-1, ::-1].transpose(3, 4, 0, 1, 2, 5)
        x = doubled(x_BHWC.astype(dtype), kernel.astype(dtype))
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        return x


class EnlargedConv(nn.Module):
    """A 3x3 convolution of the image with every pixel four times.

    On a CPU as `doubled` computes it (test: the same numbers): two of three taps fall on one pixel and are added
    before, so that 4 multiplications take the place of 9. Elsewhere that is not measured.
    """

    features: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        c, dtype = x_BHWC.shape[-1], self.dtype or x_BHWC.dtype
        x, kernel = x_BHWC.astype(dtype), self.param("kernel", self.kernel_init, (3, 3, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(dtype)
        if platform() != "cpu":
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            return _conv(x, kernel.astype(dtype), "SAME") + bias
        for _ in range(2):  # the columns, then the rows
            one, two, three = jnp.split(kernel, 3, axis=1)
            pair = [one, two + three], [one + two, three]
            kernel = jnp.stack([jnp.concatenate(taps, axis=1) for taps in pair])
        return doubled(x, kernel.astype(dtype)) + bias


def doubled(x_BHWC: Array, kernel_2222IO: Array) -> Array:
    """(B, H, W, I) -> (B, 2H, 2W, O): four 2x2 convolutions, one for each row and column of a square of pixels.

    The kernel's first axes are this row and column; the next those of the two pixels, the one of the square and the one
    before or after it. Each convolution is as large as its input: where a result is larger, XLA:CPU exchanges the
    operands of the kernel's gradient, which is then 20 times slower, as are transposed convolutions.
    """
    b, h, w, _ = x_BHWC.shape

    def pixels(row: int, column: int) -> Array:
        return _conv(x_BHWC, kernel_2222IO[row, column], [(1 - at, at) for at in (row, column)])

    x = jnp.stack([jnp.stack([pixels(row, column) for column in (0, 1)], axis=3) for row in (0, 1)], axis=2)
    return x.reshape(b, 2 * h, 2 * w, kernel_2222IO.shape[-1])


def _conv(x_BHWC: Array, kernel: Array, padding: str | list[tuple[int, int]]) -> Array:
    form = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x_BHWC, kernel, (1, 1), padding, dimension_numbers=form)


def crop_to(x_BHWC: Array, height: int, width: int) -> Array:
    """The central (height, width) window: from the power-of-two grid of the up-sampling path to the image."""
    top, left = (x_BHWC.shape[1] - height) // 2, (x_BHWC.shape[2] - width) // 2
    return jnp.asarray(x_BHWC[:, top : top + height, left : left + width])
