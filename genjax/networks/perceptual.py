"""How far apart two pictures are to a network that knows pictures: the distance of LPIPS, over its layers."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.classifier import ConvClassifier
from genjax.networks.efficientnet import EfficientNetLite0
from genjax.networks.inception import Inception
from genjax.registry import register

__all__ = ["Perceptual", "PerceptualDistance"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class Perceptual:
    """A distance that is minimized beside that of pixels. Its weights come trained, and stay as they are."""

    network: Literal["classifier", "efficientnet_lite0", "inception"] = "efficientnet_lite0"
    widths: tuple[int, ...] = (32, 64)  # of the classifier, as features_digits has them
    weight: float = 1.0

    def __post_init__(self):
        if not self.weight >= 0:
            raise UsageError(f"Perceptual: weight {self.weight} must not be negative")

    def check(self, height: int, width: int, system: str) -> None:
        """Raises UsageError for pictures that are too small for the network."""
        smallest = {"classifier": 2 ** len(self.widths), "efficientnet_lite0": 32, "inception": 75}
        least = smallest[self.network]
        if min(height, width) < least:
            raise UsageError(
                f"{system}: the perceptual network {self.network} sees pictures from {least} pixels a side on, not "
                f"{height} x {width}: take another --model.perceptual.network, or a larger --data.image-size"
            )

    def distance(self) -> nn.Module:
        return PerceptualDistance(self)


class PerceptualDistance(nn.Module):
    """Two sets of pictures (B, H, W, C) in about [-1, 1] -> (B,) float32 distances of their layers.

    Zhang et al. 2018 (arXiv:1801.03924), equation 1 with all weights 1: at each position of a layer the vector of its
    channels has length 1, and squared distances are summed over channels, averaged over positions, summed over layers.
    The parameters are those of the network up to the last layer that is compared.
    """

    config: Perceptual

    @nn.compact
    def __call__(self, x_BHWC: Array, y_BHWC: Array) -> Array:
        c, both = self.config, jnp.concatenate([x_BHWC, y_BHWC]).astype(jnp.float32)
        if c.network == "classifier":
            network = ConvClassifier(c.widths).build(0)
        else:
            network = EfficientNetLite0() if c.network == "efficientnet_lite0" else Inception()
            both = jnp.broadcast_to(both, (*both.shape[:3], 3))
        nn.share_scope(self, network)
        distance_B = jnp.zeros(len(x_BHWC))
        for layer in network(both, layers=True):
            unit = layer * jax.lax.rsqrt(jnp.sum(jnp.square(layer), axis=-1, keepdims=True) + 1e-10)
            of_x, of_y = jnp.split(unit, 2)
            distance_B += jnp.square(of_x - of_y).sum(-1).mean((1, 2))
        return distance_B
