"""What a process is: how much noise there is at which time, on a Gaussian path x_t = alpha_t x0 + sigma_t eps.

A process maps its own time t to (alpha, sigma), draws the times it is trained at, and lays the grid it is sampled on.
Given numpy arrays (grids, tables) everything is computed on the host in float64; given JAX arrays it can be traced.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError

__all__ = ["Level", "Process", "clean", "diffuse", "expand", "inside", "numpy_for", "ratios"]

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
class Process:
    """Base of the processes, frozen dataclasses of their settings.

    Attributes:
      sampler: the one by default.
      spacings: of `grid`; the first is the default.
      posterior: discrete steps have a known posterior: the sampler "ddpm", variances and the variational bound.
      churns: noise may be added in between (`Churn`).
      clips: whether the published samplers keep estimates of images in [-1, 1].
    """

    sampler: ClassVar[str]
    spacings: ClassVar[tuple[str, ...]]
    posterior: ClassVar[bool] = False
    churns: ClassVar[bool] = True
    clips: ClassVar[bool] = False

    @property
    def starts_blind(self) -> bool:
        """Whether the noisiest level has no signal, so that the noise alone (target "epsilon") says nothing of x0."""
        return False

    @property
    def most_steps(self) -> int | None:
        """Of a sampler; None = any number."""
        return None

    @property
    def ratios(self) -> tuple[float, float]:
        """The least and the largest sigma / alpha."""
        raise NotImplementedError

    def level(self, t: Array) -> Level:
        """The level at time t."""
        raise NotImplementedError

    def at(self, ratio: Array) -> Level:
        """The level with sigma / alpha = ratio, positive and finite."""
        raise NotImplementedError

    def draw(self, u_B: Array) -> Array:
        """Training times from u in [0, 1)."""
        raise NotImplementedError

    def spacing(self, sampler: str) -> str:
        """The spacing that suits a sampler best."""
        return self.spacings[0]

    def grid(self, steps: int, spacing: str = "auto") -> Level:
        """(steps + 1,) levels, noisiest first, the last one clean; "auto" is the first of `spacings`.

        Raises UsageError for another spacing, and for a number of steps that the process cannot take.
        """
        if steps < 1:
            raise UsageError(f"sampling needs 1 step or more, not {steps}")
        if self.most_steps is not None and steps > self.most_steps:
            raise UsageError(f"sampling in {steps} steps: this {type(self).__name__} process has {self.most_steps}")
        if spacing not in ("auto", *self.spacings):
            raise UsageError(
                f'no spacing "{spacing}" with {type(self).__name__}: choose auto or {" or ".join(self.spacings)}'
            )
        return self._grid(steps, self.spacings[0] if spacing == "auto" else spacing)

    def _grid(self, steps: int, spacing: str) -> Level:
        raise NotImplementedError

    def condition(self, level: Level) -> Array:
        """The network's input for a level."""
        raise NotImplementedError

    def scale(self, level: Level) -> Array:
        """c such that in y = x / c, h = sigma / c the probability-flow ODE reads dy/dh = (y - D) / h."""
        return level.alpha


def numpy_for(x: Array) -> Any:
    """jax.numpy for an array of JAX, numpy for one of the host."""
    return jnp if isinstance(x, jax.Array) else np


def inside(u: Array) -> Array:
    """u in [0, 1) kept off 0 and 1, where the normal's quantile is infinite and a flow has no noise."""
    return jnp.clip(u, 1e-7, 1 - 1e-7)


def ratios(spacing: str, sigma_min: float, sigma_max: float, rho: float, steps: int) -> np.ndarray:
    """(steps,) sigma / alpha, falling: "karras" (Karras et al. 2022, eq. 5) or "log_snr", its limit for large rho."""
    if spacing == "log_snr":
        return np.geomspace(sigma_max, sigma_min, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** rho


def clean(level: Level) -> Level:
    """The grid, and then the clean end."""
    return Level(*(np.append(values, end) for values, end in zip(level, (0.0, 1.0, 0.0), strict=True)))
