"""Pictures of two digits, seen half by half."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UserError
from genjax.metrics.features.base import Extractor, Jit, over_network
from genjax.metrics.features.networks import DIGITS, to_range, trained
from genjax.spec import Image

__all__ = ["digit_pairs"]

EMPTY = -0.95  # the mean of a half, of values in [-1, 1], below which it shows nothing; digits are above -0.65
SURE = 1e3  # the logit of nothing, which is certain


class Halves(nn.Module):
    """A classifier of K classes on both halves: features (B, 2 F), and logits (B, 2 (K + 1)), the last for nothing."""

    network: nn.Module

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> tuple[jax.Array, jax.Array]:
        nn.share_scope(self, self.network)  # its parameters are the classifier's own
        b, h, w, c = x_BHWC.shape
        half_RHWC = x_BHWC.reshape(b, h, 2, w // 2, c).swapaxes(1, 2).reshape(2 * b, h, w // 2, c)
        features_RF, logits_RK = self.network(half_RHWC)
        empty_R1 = half_RHWC.mean((1, 2, 3))[:, None] < EMPTY
        logits_RK = jnp.concatenate([logits_RK, jnp.where(empty_R1, SURE, -SURE)], axis=-1)
        return features_RF.reshape(b, -1), logits_RK.reshape(b, -1)


def digit_pairs(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """The extractor `digits` on both halves of pictures such as those of the source `captioned_digits`."""
    if image.width % 2:
        raise UserError(f"--features digit_pairs sees pictures of an even width, and these are {image.width} wide")
    half = Image(image.height, image.width // 2, image.channels)
    network, params, classes = trained("digit_pairs", file or DIGITS, half)
    halves, both = Halves(network), 2 * (classes + 1)
    return over_network("digit_pairs", halves, params, to_range, preparation="-1..1 halves", classes=both, jit=jit)
