"""Classifier-free guidance: away from what the denoiser would say without the label or the text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax.diffusion.ode import Denoise, Estimate
from genjax.diffusion.process import Level
from genjax.errors import UsageError

__all__ = ["Conditional", "guided"]

Array = Any

# a denoiser that takes what is given: (x (B, H, W, C), level of scalars, previous, labels (B,) or a tree) -> Estimate
Conditional = Callable[[Array, Level, Array, Any], Estimate]


def guided(
    conditional: Conditional,
    given: Any,
    null: Any,
    scale: float = 1.0,
    interval: tuple[float, float] = (0.0, float("inf")),
) -> Denoise:
    """D_u + w (D_c - D_u): the data-prediction form of Ho & Salimans 2022, eq. 6, with w = `scale` = 1 + their w.

    Where low <= sigma / alpha <= high (Kynkaanniemi et al. 2024, eq. 5); elsewhere the conditional denoiser alone, as
    scale 1 is everywhere. Scale 0 is the denoiser that is given nothing. Either alone costs B rows, both one call of
    2 B. `given` are labels, or a tree of arrays (B, ...); `null` is what stands for none, of one row. A learned
    variance is taken from the half that is given something.
    """
    low, high = interval
    if not 0 <= low < high:
        raise UsageError(f"the guidance interval needs 0 <= low < high (in sigma / alpha), not {low} and {high}")
    none = jax.tree.map(lambda x, n: jnp.broadcast_to(n, x.shape).astype(x.dtype), given, null)

    def alone(x: Array, level: Level, previous: Array) -> Estimate:
        return conditional(x, level, previous, given)

    def unconditional(x: Array, level: Level, previous: Array) -> Estimate:
        return conditional(x, level, previous, none)

    def both(x: Array, level: Level, previous: Array) -> Estimate:
        twice = conditional(
            jnp.concatenate([x, x]),
            level,
            jnp.concatenate([previous, previous]),
            jax.tree.map(lambda *halves: jnp.concatenate(halves), given, none),
        )
        guided, without = jnp.split(twice.image, 2)
        variance = None if twice.variance is None else twice.variance[: x.shape[0]]
        return Estimate(without + scale * (guided - without), variance)

    if scale == 1:
        return alone
    inside = unconditional if scale == 0 else both
    if interval == (0.0, float("inf")):
        return inside

    def within(x: Array, level: Level, previous: Array) -> Estimate:
        ratio = level.sigma / level.alpha  # infinite at pure noise
        return jax.lax.cond((low <= ratio) & (ratio <= high), inside, alone, x, level, previous)

    return within
