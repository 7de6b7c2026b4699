"""p(x | z), what the decoder says of an image: Bernoulli, Gaussian or Laplace, independent for every pixel."""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.models.base import Array
from genjax.nn import noise

__all__ = ["Binarization", "Decoder", "Likelihood", "as_seen", "log_probability", "mean_of", "target_of"]

Likelihood = Literal["bernoulli", "gaussian", "mse", "l1"]
Binarization = Literal["dynamic", "static", "none"]


class Decoder(nn.Module):
    """The network's output, and for a Gaussian likelihood one learned log standard deviation for all pixels."""

    network: nn.Module
    gaussian: bool

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """(B, H, W, C) float32 logits (Bernoulli) or means, and () log sigma (0 unless Gaussian)."""
        log_sigma = self.param("log_sigma", nn.initializers.zeros, ()) if self.gaussian else jnp.zeros(())
        return self.network(z_BZ, label_B).astype(jnp.float32), log_sigma


def target_of(
    likelihood: Likelihood, binarization: Binarization, image_BHWC: Array, key: Array, index_B: Array
) -> Array:
    """The x of p(x | z): [0, 1] or {0, 1} for Bernoulli, the image itself otherwise."""
    if likelihood != "bernoulli":
        return image_BHWC
    x = jnp.clip((image_BHWC + 1) / 2, 0.0, 1.0)
    if binarization == "dynamic":
        return (noise.uniform(key, index_B, x.shape[1:]) < x).astype(jnp.float32)
    return (x > 0.5).astype(jnp.float32) if binarization == "static" else x


def as_seen(likelihood: Likelihood, target_BHWC: Array) -> Array:
    """A target as an image in [-1, 1], which is how the encoder sees it."""
    return 2 * target_BHWC - 1 if likelihood == "bernoulli" else target_BHWC


def mean_of(likelihood: Likelihood, output_BHWC: Array) -> Array:
    """(B, H, W, C) in [-1, 1]: the mean of p(x | z)."""
    if likelihood == "bernoulli":
        return as_seen(likelihood, jax.nn.sigmoid(output_BHWC))
    return jnp.clip(output_BHWC, -1, 1)


def log_probability(likelihood: Likelihood, target_BHWC: Array, output_BHWC: Array, log_sigma: Array) -> Array:
    """(B,) log p(x | z) in nats, summed over pixels."""
    if likelihood == "bernoulli":
        per_pixel = target_BHWC * output_BHWC - jax.nn.softplus(output_BHWC)
    elif likelihood == "l1":
        per_pixel = -jnp.abs(target_BHWC - output_BHWC)
    else:
        per_pixel = -0.5 * jnp.square((target_BHWC - output_BHWC) * jnp.exp(-log_sigma))
        if likelihood == "gaussian":
            per_pixel -= log_sigma + 0.5 * math.log(2 * math.pi)
    return per_pixel.sum(axis=(1, 2, 3))
