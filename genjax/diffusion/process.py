"""Processes: how much noise there is at which time. Every one is a Gaussian path x_t = alpha_t x0 + sigma_t eps.

A process maps its own time t to (alpha, sigma), draws the times it is trained at, and lays the grid it is sampled on.
Given numpy arrays (grids, tables) everything is computed on the host in float64; given JAX arrays it can be traced.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError

Array = Any  # a JAX or a numpy array


class Level(NamedTuple):
    """Levels of noise: three arrays of one shape, () or (B,) or (steps + 1,). `t` is the process' own time."""

    t: Array
    alpha: Array
    sigma: Array


def expand(level: Level, ndim: int) -> Level:
    """A level of shape () or (B,) made to broadcast against an array (B, ...) of `ndim` dimensions."""
    return Level(*(jnp.reshape(v, jnp.shape(v) + (1,) * (ndim - jnp.ndim(v))) for v in level))


def diffuse(level: Level, x0: Array, eps: Array) -> Array:
    """x_t = alpha x0 + sigma eps, for a level of shape () or (B,)."""
    level = expand(level, x0.ndim)
    return level.alpha * x0 + level.sigma * eps


@dataclasses.dataclass(frozen=True)
class DDPM:
    """The discrete, variance-preserving process (alpha^2 + sigma^2 = 1), with t = 0 .. steps - 1.

    "linear": Ho et al. 2020 (section 4), beta from 1e-4 to 0.02 over 1000 steps; for another number of steps the betas
    are scaled by 1000 / steps, so that the noisiest level stays the same, as in Nichol & Dhariwal's code. "cosine":
    Nichol & Dhariwal 2021, eq. 17, betas capped at 0.999. Between the steps log(sigma/alpha) is linear in t.
    """

    schedule: str = "linear"  # linear or cosine
    steps: int = 1000  # number of discrete levels

    def __post_init__(self):
        if self.schedule not in ("linear", "cosine"):
            raise UsageError(f'no noise schedule "{self.schedule}": choose linear or cosine')
        if self.steps < 2:
            raise UsageError(f"a DDPM process needs 2 steps or more, not {self.steps}")

    @property
    def ratios(self) -> tuple[float, float]:
        """The least and the largest sigma / alpha."""
        table = _log_ratios(self.schedule, self.steps)
        return float(np.exp(table[0])), float(np.exp(table[-1]))

    def level(self, t: Array) -> Level:
        """The level at any t, also fractional; t beyond the ends is clipped."""
        xp, table = _numpy_for(t), _log_ratios(self.schedule, self.steps)
        log_ratio = xp.interp(xp.asarray(t, dtype=float), np.arange(self.steps), table)
        return Level(t, (1 + xp.exp(2 * log_ratio)) ** -0.5, (1 + xp.exp(-2 * log_ratio)) ** -0.5)

    def at(self, ratio: Array) -> Level:
        """The level with sigma / alpha = ratio > 0. t is clipped to the range the network knows, sigma is not."""
        xp, table = _numpy_for(ratio), _log_ratios(self.schedule, self.steps)
        alpha = (1 + ratio**2) ** -0.5
        return Level(xp.interp(xp.log(ratio), table, np.arange(self.steps)), alpha, ratio * alpha)

    def draw(self, u_B: Array) -> Array:
        """Training times from u in [0, 1): uniform over the steps."""
        return jnp.clip(jnp.floor(u_B * self.steps), 0, self.steps - 1)

    def grid(self, steps: int, spacing: str = "auto") -> Level:
        """(steps + 1,) levels, noisiest first, the last one clean.

        "uniform" ("auto") is what diffusers calls timestep_spacing="trailing" (Lin et al. 2024, table 2): it starts at
        the noisiest level, and steps = 1000 visits all 1000. "karras": Karras et al. 2022, eq. 5 with rho = 7, between
        the process' own smallest and largest sigma / alpha.
        """
        _check_steps(steps, self.steps)
        if _spacing(self, spacing, "uniform", "karras") == "karras":
            return _clean(self.at(_karras(*self.ratios, 7.0, steps)))
        return _clean(self.level(np.round(self.steps - np.arange(steps) * (self.steps / steps)) - 1))

    def condition(self, level: Level) -> Array:
        """What the network is fed: t itself."""
        return level.t

    def scale(self, level: Level) -> Array:
        """c such that in y = x / c, h = sigma / c the probability-flow ODE reads dy/dh = (y - D) / h."""
        return level.alpha


@dataclasses.dataclass(frozen=True)
class EDM:
    """The variance-exploding process of Karras et al. 2022: alpha = 1, t = sigma. Defaults: their table 1."""

    sigma_min: float = 0.002  # least noise of the sampling grid, before the clean end
    sigma_max: float = 80.0  # noise that sampling starts from
    rho: float = 7.0  # curvature of the sampling grid (eq. 5)
    p_mean: float = -1.2  # log(sigma) is trained at a normal distribution: its mean
    p_std: float = 1.2  # and its standard deviation

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise UsageError(f"EDM needs 0 < sigma-min < sigma-max, not {self.sigma_min} and {self.sigma_max}")
        if not (self.rho > 0 and self.p_std > 0):
            raise UsageError(f"EDM needs rho > 0 and p-std > 0, not {self.rho} and {self.p_std}")

    @property
    def ratios(self) -> tuple[float, float]:
        """The least and the largest sigma / alpha."""
        return self.sigma_min, self.sigma_max

    def level(self, t: Array) -> Level:
        return Level(t, _numpy_for(t).ones_like(t), t)

    def at(self, ratio: Array) -> Level:
        """The level with sigma / alpha = ratio."""
        return self.level(ratio)

    def draw(self, u_B: Array) -> Array:
        """Training times from u in [0, 1): log-normal sigma."""
        return jnp.exp(self.p_mean + self.p_std * jax.scipy.special.ndtri(_inside(u_B)))

    def grid(self, steps: int, spacing: str = "auto") -> Level:
        """(steps + 1,) levels, noisiest first, the last one clean: "karras" ("auto"), Karras et al. 2022, eq. 5."""
        _check_steps(steps)
        _spacing(self, spacing, "karras")
        return _clean(self.level(_karras(self.sigma_min, self.sigma_max, self.rho, steps)))

    def condition(self, level: Level) -> Array:
        """What the network is fed: log(sigma) / 4 (Karras et al. 2022, table 1)."""
        return _numpy_for(level.sigma).log(level.sigma) / 4

    def scale(self, level: Level) -> Array:
        return level.alpha


@dataclasses.dataclass(frozen=True)
class Flow:
    """The straight path of flow matching and rectified flow (Lipman et al. 2023; Liu et al. 2023) with its time turned
    so that noise is at the end as in Esser et al. 2024, eq. 13: alpha = 1 - t, sigma = t, t in [0, 1]."""

    shift: float = 1.0  # > 1 spends more of the time at high noise (Esser et al. 2024, eq. 23), trained and sampled
    logit_normal: bool = False  # trains more in the middle of the path: t = sigmoid(normal), Esser et al. 2024, eq. 19

    def __post_init__(self):
        if not self.shift > 0:
            raise UsageError(f"a flow needs shift > 0, not {self.shift}")

    @property
    def ratios(self) -> tuple[float, float]:
        """The least and the largest sigma / alpha; the least is that of t = 0.001, as at 0 no density is known."""
        return 1e-3 / (1 - 1e-3), np.inf

    def level(self, t: Array) -> Level:
        return Level(t, 1 - t, t)

    def at(self, ratio: Array) -> Level:
        """The level with sigma / alpha = ratio (finite)."""
        return Level(ratio / (1 + ratio), 1 / (1 + ratio), ratio / (1 + ratio))

    def draw(self, u_B: Array) -> Array:
        """Training times from u in [0, 1)."""
        u_B = _inside(u_B)
        return self._shifted(jax.nn.sigmoid(jax.scipy.special.ndtri(u_B)) if self.logit_normal else u_B)

    def grid(self, steps: int, spacing: str = "auto") -> Level:
        """(steps + 1,) levels, noisiest first, the last one clean: "uniform" ("auto") in t, then shifted."""
        _check_steps(steps)
        _spacing(self, spacing, "uniform")
        return self.level(self._shifted(np.linspace(1.0, 0.0, steps + 1)))

    def condition(self, level: Level) -> Array:
        """What the network is fed: 1000 t, the range that sinusoidal embeddings are made for."""
        return 1000 * level.t

    def scale(self, level: Level) -> Array:
        return _numpy_for(level.alpha).ones_like(level.alpha)

    def _shifted(self, t: Array) -> Array:
        return self.shift * t / (1 + (self.shift - 1) * t)


Process = DDPM | EDM | Flow


@functools.lru_cache
def _log_ratios(schedule: str, steps: int) -> np.ndarray:
    """(steps,) float64 log(sigma / alpha), increasing."""
    if schedule == "linear":
        betas = np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999)
    else:
        signal = np.cos((np.linspace(0, 1, steps + 1) + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    log_signal = np.cumsum(np.log1p(-betas))  # log of alpha^2
    return 0.5 * (np.log(-np.expm1(log_signal)) - log_signal)


def _numpy_for(x: Array) -> Any:
    return jnp if isinstance(x, jax.Array) else np


def _inside(u: Array) -> Array:
    """u in [0, 1) kept off 0 and 1, where the normal's quantile is infinite and a flow has no noise."""
    return jnp.clip(u, 1e-7, 1 - 1e-7)


def _karras(sigma_min: float, sigma_max: float, rho: float, steps: int) -> np.ndarray:
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** rho


def _clean(level: Level) -> Level:
    return Level(*(np.append(values, end) for values, end in zip(level, (0.0, 1.0, 0.0), strict=True)))


def _check_steps(steps: int, most: int | None = None) -> None:
    if steps < 1:
        raise UsageError(f"sampling needs 1 step or more, not {steps}")
    if most is not None and steps > most:
        raise UsageError(f"sampling in {steps} steps: this DDPM process has {most}")


def _spacing(process: Process, spacing: str, *has: str) -> str:
    """The spacing asked for, the first of those it has for "auto"."""
    if spacing not in ("auto", *has):
        raise UsageError(f'no spacing "{spacing}" with {type(process).__name__}: choose auto or {" or ".join(has)}')
    return has[0] if spacing == "auto" else spacing
