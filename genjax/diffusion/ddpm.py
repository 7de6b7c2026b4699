"""The discrete process of DDPM, and its schedules of noise."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from genjax.diffusion.process import Level, Process, clean, numpy_for, ratios
from genjax.errors import UsageError
from genjax.registry import register

__all__ = ["DDPM"]

Array = Any

MOST_NOISE = 80.0  # sigma / alpha where a "karras" grid begins at most, that of Karras et al. 2022, table 1
ZERO_SNR = 40.0  # log(sigma / alpha) that stands for infinity: its alpha, 4e-18, is nothing beside any noise


@register
@dataclasses.dataclass(frozen=True)
class DDPM(Process):
    """The discrete, variance-preserving process (alpha^2 + sigma^2 = 1), with t = 0 .. steps - 1.

    "linear": Ho et al. 2020 (section 4), beta from 1e-4 to 0.02 over 1000 steps; for another number of steps the betas
    are scaled by 1000 / steps, so that the noisiest level stays the same, as in Nichol & Dhariwal's code. "cosine":
    Nichol & Dhariwal 2021, eq. 17, betas capped at 0.999. Between the steps log(sigma/alpha) is linear in t.
    """

    schedule: str = "linear"  # linear or cosine
    steps: int = 1000  # number of discrete levels
    zero_snr: bool = False  # the last level is pure noise (Lin et al. 2024, arXiv:2305.08891, algorithm 1)

    sampler: ClassVar = "ddim"
    spacings: ClassVar = ("trailing", "leading", "linspace", "karras", "log_snr")
    posterior: ClassVar = True
    clips: ClassVar = True

    def __post_init__(self):
        if self.schedule not in ("linear", "cosine"):
            raise UsageError(f'no noise schedule "{self.schedule}": choose linear or cosine')
        if self.steps < 2:
            raise UsageError(f"a DDPM process needs 2 steps or more, not {self.steps}")

    @property
    def starts_blind(self) -> bool:
        return self.zero_snr

    @property
    def most_steps(self) -> int:
        return self.steps

    @property
    def ratios(self) -> tuple[float, float]:
        table = self._log_ratios
        return float(np.exp(table[0])), float(np.exp(table[-1]))

    def level(self, t: Array) -> Level:
        """The level at any t, also fractional; t beyond the ends is clipped."""
        xp = numpy_for(t)
        log_ratio = xp.interp(xp.asarray(t, dtype=float), np.arange(self.steps), self._log_ratios)
        return Level(t, (1 + xp.exp(2 * log_ratio)) ** -0.5, (1 + xp.exp(-2 * log_ratio)) ** -0.5)

    def at(self, ratio: Array) -> Level:
        """t is clipped to the range the network knows, sigma is not."""
        xp = numpy_for(ratio)
        alpha = (1 + ratio**2) ** -0.5
        return Level(xp.interp(xp.log(ratio), self._log_ratios, np.arange(self.steps)), alpha, ratio * alpha)

    def draw(self, u_B: Array) -> Array:
        """Uniform over the steps."""
        return jnp.clip(jnp.floor(u_B * self.steps), 0, self.steps - 1)

    def spacing(self, sampler: str) -> str:
        """On discrete steps the samplers of second order would lose it."""
        return {"heun": "karras", "dpmpp_2m": "log_snr"}.get(sampler, self.spacings[0])

    def _grid(self, steps: int, spacing: str) -> Level:
        """ "trailing" starts at the noisiest level, "linspace" ends at the least as well, and "leading", DDIM's own,
        only ends there (Lin et al. 2024, table 2; the names are diffusers'). With as many steps as the process has,
        all three visit every level. "karras": Karras et al. 2022, eq. 5 with rho = 7, between the process' least
        sigma / alpha and its largest, but at most MOST_NOISE: above, D is the mean of the data, and the cosine's last
        levels, up to 20,000, would take up most of the grid. "log_snr": evenly in log(alpha / sigma) between the same
        two (Lu et al. 2022, arXiv:2206.00927).
        """
        if spacing in ("karras", "log_snr"):
            least, most = self.ratios
            return clean(self.at(ratios(spacing, least, min(most, MOST_NOISE), 7.0, steps)))
        if spacing == "trailing":
            t = np.round(self.steps - np.arange(steps) * (self.steps / steps)) - 1
        elif spacing == "leading":
            t = np.arange(steps)[::-1] * float(self.steps // steps)
        else:
            t = np.round(np.linspace(self.steps - 1, 0, steps))
        return clean(self.level(t))

    def condition(self, level: Level) -> Array:
        """t itself."""
        return level.t

    @property
    def _log_ratios(self) -> np.ndarray:
        return _log_ratios(self.schedule, self.steps, self.zero_snr)


@functools.lru_cache
def _log_ratios(schedule: str, steps: int, zero_snr: bool) -> np.ndarray:
    """(steps,) float64 log(sigma / alpha), increasing."""
    if schedule == "linear":
        betas = np.minimum(np.linspace(1e-4, 0.02, steps) * (1000 / steps), 0.999)
    else:
        signal = np.cos((np.linspace(0, 1, steps + 1) + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    log_signal = np.cumsum(np.log1p(-betas))  # log of alpha^2
    if zero_snr:
        alpha = np.exp(log_signal / 2)
        alpha = (alpha[:-1] - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))
        return np.append(0.5 * np.log1p(-(alpha**2)) - np.log(alpha), ZERO_SNR)
    return 0.5 * (np.log(-np.expm1(log_signal)) - log_signal)
