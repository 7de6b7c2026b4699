"""The probability-flow ODE, in the coordinates where it is as straight as the process allows, and its inversion.

With c = process.scale(level), y = x / c and h = sigma / c every process obeys dy/dh = (y - D(x)) / h. c = alpha is
Karras et al. 2022, eq. 4 (DDIM's coordinates, Song et al. 2021, eq. 14); for a flow c = 1 and the slope
is its velocity.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion.process import Level, Process
from genjax.errors import UsageError

__all__ = ["Denoise", "Estimate", "checked", "clipped", "euler_slope", "heun_slope", "invert", "rows"]

Array = Any


class Estimate(NamedTuple):
    """`image` is D(x; level), the estimate of x0; `variance` None, or v in [0, 1] of Nichol & Dhariwal 2021, eq. 15."""

    image: Array
    variance: Array | None = None


# (x (B, H, W, C), level of scalars, the last estimate of the image: zeros at first) -> Estimate
Denoise = Callable[[Array, Level, Array], Estimate]


def checked(denoise: Denoise) -> Denoise:
    """The denoiser, which raises UsageError where it returns anything else: an array may be noise or a slope."""

    def estimate(x: Array, level: Level, previous: Array) -> Estimate:
        made = denoise(x, level, previous)
        if not isinstance(made, Estimate):
            raise UsageError(
                f"the denoiser returned a {type(made).__name__}: it must return Estimate(D), D its estimate of the "
                "clean image, which genjax.diffusion.target.denoised makes of another target"
            )
        return made

    return estimate


def clipped(denoise: Denoise) -> Denoise:
    """The denoiser with D kept in [-1, 1], where images are: Ho et al.'s and Nichol & Dhariwal's code samples so."""
    denoise = checked(denoise)

    def within(x: Array, level: Level, previous: Array) -> Estimate:
        estimate = denoise(x, level, previous)
        return estimate._replace(image=jnp.clip(estimate.image, -1, 1))

    return within


def rows(grid: Level, dtype: Any) -> Level:
    """A grid made on the host as arrays that a scan can walk."""
    return Level(*(jnp.asarray(values, dtype) for values in grid))


def euler_slope(denoise: Denoise, process: Process, y: Array, level: Level, previous: Array) -> tuple[Array, Array]:
    """dy/dh at y, and D."""
    scale = process.scale(level)
    image = denoise(y * scale, level, previous).image.astype(y.dtype)
    return (y - image) * (scale / level.sigma), image


def heun_slope(
    denoise: Denoise, process: Process, y: Array, start: Level, end: Level, previous: Array
) -> tuple[Array, Array]:
    """The mean of the slopes at both ends of a step (Karras et al. 2022, algorithm 1), and the latest D."""
    first, image = euler_slope(denoise, process, y, start, previous)
    length = end.sigma / process.scale(end) - start.sigma / process.scale(start)
    second, image = euler_slope(denoise, process, y + length * first, end, image)
    return (first + second) / 2, image


def invert(
    denoise: Denoise, x_BHWC: Array, grid: Level, *, process: Process, sampler: str = "ddim", iterations: int = 5
) -> Array:
    """The noise at grid[0] that the deterministic `sampler` (ddim = euler, or heun) turns into the image x.

    Each step of the sampler, y' = y + (h' - h) slope(y), is solved for y by fixed-point iteration, beginning with the
    slope of the step before; so sampling on the same grid returns the image. One iteration is the usual DDIM inversion
    (Song et al. 2021, section 4.3), more of them Pan et al. 2023 (accelerated iterative diffusion inversion).
    The error shrinks by (1 - h'/h) (1 - dD/dx) an iteration: more steps or more iterations make it exact.
    """
    denoise = checked(denoise)
    levels, last = rows(grid, x_BHWC.dtype), len(grid.t) - 1

    def solve(y, slope, start, end, heun):
        begin, stop = (level.sigma / process.scale(level) for level in (start, end))

        def again(_, carry):
            slope, image = carry
            guess = y + (begin - stop) * slope
            if heun:
                return heun_slope(denoise, process, guess, start, end, image)
            return euler_slope(denoise, process, guess, start, image)

        slope, _ = jax.lax.fori_loop(0, iterations, again, (slope, jnp.zeros_like(y)))
        return y + (begin - stop) * slope, slope

    def pair(n):
        return (Level(*(values[m] for values in levels)) for m in (n, n + 1))

    # the clean end: an Euler step in every sampler, and its slope is not known before
    carry = solve(x_BHWC, jnp.zeros_like(x_BHWC), *pair(last - 1), heun=False)
    carry, _ = jax.lax.scan(
        lambda carry, n: (solve(*carry, *pair(n), heun=sampler == "heun"), None), carry, np.arange(last - 1)[::-1]
    )
    return carry[0] * process.scale(Level(*(values[0] for values in levels)))
