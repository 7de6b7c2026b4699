"""Gaussian experts, one a view, and what becomes of several: products, and mixtures of products.

M views, S subsets of them, Z latents. A subset says with 0 and 1 which views belong to it.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from genjax.models.base import Array

__all__ = ["divergence", "log_density", "product", "subsets"]


def subsets(views: int, sizes: range | None = None) -> np.ndarray:
    """(S, M) float32: the subsets of these sizes; all but the empty one."""
    sizes = range(1, views + 1) if sizes is None else sizes
    rows = [[m in chosen for m in range(views)] for n in sizes for chosen in itertools.combinations(range(views), n)]
    return np.array(rows, np.float32)


def product(mean_MBZ: Array, log_var_MBZ: Array, weight_MB: Array, prior: bool) -> tuple[Array, Array]:
    """(B, Z) mean and log variance of the product of the experts whose weight is 1: Wu & Goodman 2018, section 2.1.

    With `prior` the standard normal is one expert more, and alone where no other is. Without it and without experts it
    stands in their place.
    """
    weight_MB1 = weight_MB[..., None]
    precision_MBZ = weight_MB1 * jnp.exp(-log_var_MBZ)
    own_B1 = jnp.ones_like(weight_MB1[0]) if prior else (weight_MB1.sum(0) == 0).astype(jnp.float32)
    precision_BZ = precision_MBZ.sum(0) + own_B1
    return (precision_MBZ * mean_MBZ).sum(0) / precision_BZ, -jnp.log(precision_BZ)


def divergence(mean_BZ: Array, log_var_BZ: Array) -> Array:
    """(B,) KL(N(mean, var) || N(0, 1)) in nats."""
    return 0.5 * (jnp.square(mean_BZ) + jnp.exp(log_var_BZ) - 1 - log_var_BZ).sum(-1)


def log_density(z: Array, mean: Array, log_var: Array) -> Array:
    """log N(z; mean, var), summed over the last axis."""
    return -0.5 * (jnp.square(z - mean) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)
