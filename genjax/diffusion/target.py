"""Targets: what the network is trained to output. All are linear, F* = a x0 + b eps, and so one formula recovers x0.

`sigma_data` is the standard deviation of the data, which only the "edm" target and weighting look at.
"""

from typing import Any

import jax.numpy as jnp

from genjax.diffusion.process import Level, expand
from genjax.errors import UsageError

__all__ = ["TARGETS", "WEIGHTINGS", "coefficients", "denoised", "input_scale", "make", "weight"]

Array = Any

TARGETS = ("epsilon", "x0", "v", "velocity", "edm")
WEIGHTINGS = ("simple", "min_snr", "edm")


def coefficients(target: str, level: Level, sigma_data: float = 0.5) -> tuple[Array, Array]:
    """(a, b) of F* = a x0 + b eps, each of the level's shape.

    epsilon: Ho et al. 2020, eq. 14. v: Salimans & Ho 2022, section 4. velocity: Liu et al. 2023, eq. 1, with its time
    turned (noise - data). edm: Karras et al. 2022, eq. 7-8 solved for the network's output, multiplied out by alpha so
    that alpha = 0 is no special case.
    """
    zero, one = jnp.zeros_like(level.sigma), jnp.ones_like(level.sigma)
    if target == "epsilon":
        return zero, one
    if target == "x0":
        return one, zero
    if target == "v":
        return -level.sigma, level.alpha
    if target == "velocity":
        return -one, one
    if target == "edm":
        norm = 1 / input_scale("edm", level, sigma_data)
        return level.sigma / (sigma_data * norm), -sigma_data * level.alpha / norm
    raise UsageError(f'no target "{target}": choose {", ".join(TARGETS)}')


def input_scale(target: str, level: Level, sigma_data: float = 0.5) -> Array:
    """The factor on x before it enters the network: 1, except edm's c_in (Karras et al. 2022, table 1)."""
    if target != "edm":
        return jnp.ones_like(level.sigma)
    return (level.sigma**2 + (level.alpha * sigma_data) ** 2) ** -0.5  # of x = alpha (x0 + s eps), not of x / alpha


def make(target: str, level: Level, x0: Array, eps: Array, sigma_data: float = 0.5) -> Array:
    """F*, what the network should output: x0 and eps (B, ...), level () or (B,)."""
    a, b = coefficients(target, expand(level, x0.ndim), sigma_data)
    return a * x0 + b * eps


def denoised(target: str, level: Level, output: Array, x: Array, sigma_data: float = 0.5) -> Array:
    """x0 = (sigma F - b x) / (a sigma - b alpha), from the network's output at x. sigma > 0; for epsilon, alpha > 0."""
    level = expand(level, x.ndim)
    a, b = coefficients(target, level, sigma_data)
    return (level.sigma * output - b * x) / (a * level.sigma - b * level.alpha)


def weight(weighting: str, target: str, level: Level, sigma_data: float = 0.5, gamma: float = 5.0) -> Array:
    """The factor on |F - F*|^2, of the level's shape.

    "simple" is 1: Ho et al. 2020, eq. 14 for epsilon, and exactly Karras et al. 2022 (lambda c_out^2 = 1) for edm. The
    others weigh the error of x0, |D - x0|^2 = c_out^2 |F - F*|^2: "min_snr" by min(alpha^2 / sigma^2, gamma) (Hang et
    al. 2023, eq. 8), "edm" by Karras' lambda, (s^2 + sigma_data^2) / (s sigma_data)^2 with s = sigma / alpha.
    """
    a, b = coefficients(target, level, sigma_data)
    if weighting == "simple":
        return jnp.ones_like(level.sigma)
    squared = (level.sigma / (a * level.sigma - b * level.alpha)) ** 2
    if weighting == "min_snr":
        return jnp.minimum((level.alpha / level.sigma) ** 2, gamma) * squared
    if weighting == "edm":
        return (level.alpha**2 / level.sigma**2 + sigma_data**-2) * squared
    raise UsageError(f'no weighting "{weighting}": choose {", ".join(WEIGHTINGS)}')
