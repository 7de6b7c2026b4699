"""What the steps of a sampler multiply by, computed once on the host in float64.

Every sampler but Heun's steps from (alpha, sigma) to (alpha', sigma') by

    x' = alpha' D + sqrt(sigma'^2 - var) (x - alpha D) / sigma + sqrt(var) z            (Song et al. 2021, eq. 12)

and never divides by alpha. With q = (sigma'/alpha') / (sigma/alpha), var = sigma'^2 (1 - q^2) is DDPM's posterior (Ho
et al. 2020, eq. 6-7), whose mean the other variances of "ddpm" keep. var = 0 is DDIM, and Euler's method for the
probability-flow ODE ("euler") too. DPM-Solver++(2M) is the latter with D extrapolated from the last two.
"""

from typing import Any, NamedTuple

import numpy as np

from genjax.diffusion.process import Level, Process

__all__ = ["Churn", "Steps", "plan", "posterior_variances"]

Array = Any


class Churn(NamedTuple):
    """Noise added before each step of "heun" (Karras et al. 2022, algorithm 2), where low <= sigma / alpha <= high."""

    amount: float = 0.0  # S_churn
    low: float = 0.0  # S_min
    high: float = float("inf")  # S_max
    noise: float = 1.0  # S_noise


class Steps(NamedTuple):
    """What each step needs, (steps,) arrays: x' = keep x + data D + std z, and then x'' = back x' + back_std z'.

    Heun's steps use keep and std for the churn, which leads to `start`. `back` is 1 unless the grid goes up again.
    """

    number: Array
    start: Level
    end: Level
    keep: Array
    data: Array
    std: Array
    log_small: Array  # log of the two variances between which a learned one lies
    log_large: Array
    extrapolate: Array
    back: Array
    back_std: Array


def plan(grid: Level, process: Process, sampler: str, eta: float, churn: Churn, variance: str) -> Steps:
    """The steps along a grid, in float64 on the host."""
    with np.errstate(divide="ignore"):  # pure noise has ratio infinity, a clean image log-ratio -infinity
        ratio = grid.sigma / grid.alpha
        log_snr = -np.log(ratio)
        down = np.flatnonzero(ratio[1:] < ratio[:-1])
    begin, end = (Level(*(values[down + m] for values in grid)) for m in (0, 1))
    small, large = posterior_variances(begin, end)
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(small, 1e-20)), np.log(large)

    if sampler == "heun":
        begin, keep, std = _churned(begin, ratio[down], process, churn, len(down))
        data = np.zeros_like(keep)
    else:
        share = {"ddpm": 1.0, "ddim": eta}.get(sampler, 0.0)
        rest = np.sqrt(end.sigma**2 - share**2 * small)
        keep, data = rest / begin.sigma, end.alpha - begin.alpha * rest / begin.sigma
        std = np.sqrt(large) * (end.sigma > 0) if variance == "large" else share * np.sqrt(small)

    extrapolate = np.zeros(len(down))
    if sampler == "dpmpp_2m":  # Lu et al. 2022, algorithm 2; first order where it starts and where it ends clean
        length = log_snr[down + 1] - log_snr[down]
        with np.errstate(invalid="ignore"):  # from pure noise to a clean image in two steps: infinity by infinity
            extrapolate[1:] = np.where(np.isfinite(length[1:]), length[1:] / length[:-1] / 2, 0.0)

    follows = Level(*(np.append(b[1:], e[-1]) for b, e in zip(Level(*(v[down] for v in grid)), end, strict=True)))
    back = follows.alpha / end.alpha
    back_std = np.sqrt(np.maximum(follows.sigma**2 - (back * end.sigma) ** 2, 0.0))
    return Steps(np.arange(len(down), dtype=np.int32), begin, end, keep, data, std, *logs, extrapolate, back, back_std)


def posterior_variances(start: Level, end: Level) -> tuple[Array, Array]:
    """The smallest and the largest sensible variance of a step down: of q(x' | x, x0), and of q(x | x').

    Ho et al. 2020, section 3.2 (beta-tilde and beta), for any alpha and sigma, hence also for steps left out.
    """
    rest = 1 - (end.sigma * start.alpha / (end.alpha * start.sigma)) ** 2  # 1 - q^2
    return end.sigma**2 * rest, start.sigma**2 * rest


def _churned(begin: Level, ratio: Array, process: Process, churn: Churn, count: int) -> tuple[Level, Array, Array]:
    """The levels after the churn, and how x gets there (Karras et al. 2022, algorithm 2, lines 4-6)."""
    within = (ratio >= churn.low) & (ratio <= churn.high)
    gamma = np.where(within, min(churn.amount / count, np.sqrt(2) - 1), 0.0)
    if not gamma.any():
        return begin, np.ones(count), np.zeros(count)
    lifted = Level(*(np.where(gamma > 0, *pair) for pair in zip(process.at(ratio * (1 + gamma)), begin, strict=True)))
    keep = lifted.alpha / begin.alpha
    return lifted, keep, churn.noise * np.sqrt(np.maximum(lifted.sigma**2 - (keep * begin.sigma) ** 2, 0.0))
