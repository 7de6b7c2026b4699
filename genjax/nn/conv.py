"""Changes of resolution for convolutional networks, in the forms that XLA differentiates fast."""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


def depth_to_space(x_BHWC: Array, r: int = 2) -> Array:
    """(B, H, W, C r^2) -> (B, rH, rW, C): the sub-pixel rearrangement of Shi et al. 2016 (arXiv:1609.05158)."""
    b, h, w, c = x_BHWC.shape
    x = x_BHWC.reshape(b, h, w, r, r, c // r**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * r, w * r, c // r**2)


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
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )(x_BHWC)
        return depth_to_space(x)


def crop_to(x_BHWC: Array, height: int, width: int) -> Array:
    """The central (height, width) window: from the power-of-two grid of the up-sampling path to the image."""
    top, left = (x_BHWC.shape[1] - height) // 2, (x_BHWC.shape[2] - width) // 2
    return jnp.asarray(x_BHWC[:, top : top + height, left : left + width])
