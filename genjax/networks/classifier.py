"""A small convolutional classifier of images, whose last hidden layer is a space of features."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.noise import Dropout
from genjax.registry import register

__all__ = ["ConvClassifier", "ConvClassifierNetwork"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class ConvClassifier:
    """Pairs of 3x3 convolutions with ReLU, each followed by a 2x2 maximum; then a hidden dense layer, normalized."""

    widths: tuple[int, ...] = (32, 64)  # channels; each halves the resolution
    features: int = 64  # units of the hidden layer
    dropout: float = 0.0  # of the hidden layer, in training

    def __post_init__(self):
        if not self.widths or min(*self.widths, self.features, 1) < 1:
            raise UsageError("ConvClassifier: widths and features must be positive")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"ConvClassifier: dropout is {self.dropout}, must be in [0, 1)")

    def build(self, classes: int, dtype: str | None = None) -> nn.Module:
        """Called as (images (B, H, W, C) in [-1, 1], index (B,) for dropout or None) -> (features, logits)."""
        return ConvClassifierNetwork(self, classes, dtype)


class ConvClassifierNetwork(nn.Module):
    """(B, H, W, C) -> ((B, features), (B, classes)), float32; without classes the logits are None.

    With `layers`, a list of its convolutions' outputs (B, h, w, D) before each maximum, of pictures of any size.
    """

    config: ConvClassifier
    classes: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, index_B: Array | None = None, *, layers: bool = False):
        he, x, hidden = nn.initializers.he_normal(), x_BHWC, []
        for width in self.config.widths:
            for _ in range(2):
                x = nn.relu(nn.Conv(width, (3, 3), dtype=self.dtype, kernel_init=he)(x))
            hidden.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        if layers:
            return hidden
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(self.config.features, dtype=self.dtype, kernel_init=he)(x)
        x = nn.relu(nn.LayerNorm(use_scale=False, use_bias=False, dtype=self.dtype)(x))  # for kernels: of scale 1
        features_BF = x.astype(jnp.float32)
        if not self.classes:
            return features_BF, None
        x = Dropout(self.config.dropout)(x, index_B)
        return features_BF, nn.Dense(self.classes, dtype=self.dtype)(x).astype(jnp.float32)
