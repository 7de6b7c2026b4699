"""Inpainting with a denoiser that was never trained for it: the known pixels are put back after every step."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax.diffusion.process import Level, diffuse
from genjax.errors import UsageError
from genjax.nn import noise

__all__ = ["replace_known", "resampled"]

Array = Any


def replace_known(image_BHWC: Array, known_BHW1: Array, index_B: Array) -> Callable[[Array, Level, Array], Array]:
    """The `after` hook of `sample`: where `known` is true, x becomes the image with the noise of the level reached.

    Lugmayr et al. 2022 (RePaint), eq. 8. At the clean end the known pixels are the image's, exactly.
    """

    def after(x: Array, level: Level, key: Array) -> Array:
        eps = noise.normal(key, index_B, image_BHWC.shape[1:]).astype(x.dtype)
        return jnp.where(known_BHW1, diffuse(level, image_BHWC.astype(x.dtype), eps), x)

    return after


def resampled(grid: Level, times: int, jump: int = 1) -> Level:
    """RePaint's resampling (Lugmayr et al. 2022, algorithm 1 and section 4.2) as a longer grid that goes up and down.

    Every `jump` steps the sampler goes back up by `jump` steps, until each has been taken `times` times; `sample`
    diffuses x back where the grid goes up, at no evaluation. The last `jump` steps are taken once, as in algorithm 1.
    Goes with the samplers ddpm, ddim and euler.
    """
    if times < 1 or jump < 1:
        raise UsageError(f"resampling needs times >= 1 and jump >= 1, not {times} and {jump}")
    count = len(grid.t) - 1
    walk = [0]
    for begin in range(0, count, jump):
        block = list(range(begin, min(begin + jump, count) + 1))
        repeats = times if block[-1] < count else 1
        for _ in range(repeats):
            walk += block[(1 if walk[-1] == begin else 0) :]
    return Level(*(np.asarray(values)[walk] for values in grid))
