"""Samplers: from noise to images along a grid of levels, in one `lax.scan`. All speak to a denoiser D(x; level).

Which sampler it is lies in the numbers of its steps (steps.py); only Heun's method has code of its own (ode.py).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion.ode import Denoise, checked, heun_slope
from genjax.diffusion.process import Level, Process
from genjax.diffusion.steps import Churn, Steps, plan
from genjax.errors import UsageError
from genjax.nn import noise

__all__ = ["SAMPLERS", "VARIANCES", "check", "least_end", "sample", "start"]

Array = Any

SAMPLERS = ("ddpm", "ddim", "euler", "heun", "dpmpp_2m")
VARIANCES = ("small", "large", "learned")


def check(
    process: Process,
    sampler: str,
    steps: int,
    *,
    spacing: str = "auto",
    target: str | None = None,
    variance: str = "small",
    eta: float = 0.0,
    churn: Churn = Churn(),
) -> None:
    """Raises UsageError, in one line, for what does not go together. Costs nothing: call it before compiling."""
    name = type(process).__name__
    if sampler not in SAMPLERS:
        raise UsageError(f'no sampler "{sampler}": choose {", ".join(SAMPLERS)}')
    if sampler == "ddpm" and not process.posterior:
        raise UsageError(f'the sampler "ddpm" needs the DDPM process; with {name} choose {", ".join(SAMPLERS[1:])}')
    process.grid(steps, spacing)
    if target == "epsilon" and process.starts_blind:
        raise UsageError(f'{name} ends in pure noise, where "epsilon" tells nothing: choose velocity, v, x0 or edm')
    if variance not in VARIANCES:
        raise UsageError(f'no variance "{variance}": choose {", ".join(VARIANCES)}')
    if variance != "small" and sampler != "ddpm":
        raise UsageError(f'variance "{variance}" goes with the sampler "ddpm", not "{sampler}"')
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"eta lies between 0 (deterministic) and 1 (ancestral), not {eta}")
    if eta and sampler != "ddim":
        raise UsageError(f'eta goes with the sampler "ddim", not "{sampler}"')
    if not (churn.amount >= 0 and churn.low <= churn.high and churn.noise > 0):  # NaN is refused too
        raise UsageError("churn needs amount >= 0, low <= high and noise > 0")
    if churn.amount and (sampler != "heun" or not process.churns):
        raise UsageError(f'churn goes with the sampler "heun" and the process EDM or DDPM, not "{sampler}" and {name}')


def start(grid: Level, key: Array, index_B: Array, shape: tuple[int, ...]) -> Array:
    """(B, *shape) pure noise at the grid's first level."""
    return noise.normal(key, index_B, shape) * np.float32(grid.sigma[0])


def least_end(grid: Level, process: Process) -> Level:
    """A DDPM's grid that ends at its least noise instead of clean, as Stable Diffusion's DDIM does.

    A step shorter where the grid visits that level anyway; raises UsageError where none is left. diffusers:
    set_alpha_to_one=False.
    """
    least = process.level(np.zeros(1))
    kept = np.flatnonzero(grid.t[:-1] > 0)
    if not len(kept):
        raise UsageError("the only step begins at the least noise, where the end is: take 2 steps or more")
    return Level(*(np.append(values[kept], end) for values, end in zip(grid, least, strict=True)))


def sample(
    denoise: Denoise,
    x_BHWC: Array,
    grid: Level,
    *,
    process: Process,
    sampler: str,
    key: Array,
    index_B: Array,
    eta: float = 0.0,
    churn: Churn = Churn(),
    variance: str = "small",
    after: Callable[[Array, Level, Array], Array] | None = None,
    frames: tuple[int, ...] = (),
) -> tuple[Array, Array]:
    """Walks x (B, H, W, C) at grid[0] to the grid's clean end.

    `grid`: numpy levels (`process.grid`); one that goes up again on its way, as RePaint's, diffuses x back. `after(x,
    level, key)` is applied after every step. Also returns `frames` (K, B, H, W, C): x after those numbers of steps, 0
    being the noise. Step n draws its noise from fold_in(key, n) and each example's index.

    "heun" evaluates D twice a step, once in the last; the others once. Options must have passed `check`.
    """
    denoise = checked(denoise)
    steps = plan(grid, process, sampler, eta, churn, variance)
    count = len(steps.number)
    if any(not 0 <= n <= count for n in frames):
        raise UsageError(f"frames {frames}: sampling takes {count} steps")
    noisy, goes_back = bool(steps.std.any()), bool(steps.back_std.any())
    if goes_back and sampler in ("heun", "dpmpp_2m"):
        raise UsageError(f'resampling goes with the samplers ddpm, ddim and euler, not "{sampler}"')
    shape, numbers = x_BHWC.shape[1:], np.asarray(frames, np.int32).reshape(-1, 1, 1, 1, 1)

    def walk(carry, s: Steps, last: bool):
        x, previous, kept = carry
        step_key = jax.random.fold_in(key, s.number)
        z = noise.normal(step_key, index_B, shape).astype(x.dtype) if noisy else 0.0
        if sampler == "heun":
            x = s.keep * x + s.std * z
            if last:  # to sigma = 0, where Euler's step is D itself
                x = previous = denoise(x, s.start, previous).image.astype(x.dtype)
            else:
                scale, end = process.scale(s.start), process.scale(s.end)
                y, length = x / scale, s.end.sigma / end - s.start.sigma / scale
                slope, previous = heun_slope(denoise, process, y, s.start, s.end, previous)
                x = (y + length * slope) * end
        else:
            estimate = denoise(x, s.start, previous)
            image, std = estimate.image.astype(x.dtype), s.std
            if variance == "learned":  # Nichol & Dhariwal 2021, eq. 15; std only says whether there is noise
                v = estimate.variance.astype(x.dtype)
                std = jnp.where(std > 0, jnp.exp((v * s.log_large + (1 - v) * s.log_small) / 2), 0.0)
            guess = image + s.extrapolate * (image - previous)
            x, previous = s.keep * x + s.data * guess + std * z, image
        if after is not None:
            x = after(x, s.end, jax.random.fold_in(step_key, 1))
        if goes_back:
            z = noise.normal(jax.random.fold_in(step_key, 2), index_B, shape).astype(x.dtype)
            x = s.back * x + s.back_std * z
        return (x, previous, jnp.where(numbers == s.number + 1, x, kept)), None

    carry = x_BHWC, jnp.zeros_like(x_BHWC), jnp.where(numbers == 0, x_BHWC, jnp.zeros((), x_BHWC.dtype))
    steps = jax.tree.map(lambda v: jnp.asarray(v, x_BHWC.dtype if v.dtype.kind == "f" else v.dtype), steps)
    whole = count - 1 if sampler == "heun" else count
    carry, _ = jax.lax.scan(lambda c, s: walk(c, s, False), carry, jax.tree.map(lambda v: v[:whole], steps))
    if whole < count:
        carry, _ = walk(carry, jax.tree.map(lambda v: v[-1], steps), True)
    x, _, kept = carry
    return x, kept
