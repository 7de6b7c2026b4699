"""The process of Karras et al. 2022 (EDM, arXiv:2206.00364): noise that grows while the signal stays."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from genjax.diffusion.process import Level, Process, clean, inside, numpy_for, ratios
from genjax.errors import UsageError
from genjax.registry import register

__all__ = ["EDM"]

Array = Any


@register
@dataclasses.dataclass(frozen=True)
class EDM(Process):
    """The variance-exploding process of Karras et al. 2022: alpha = 1, t = sigma. Defaults: their table 1."""

    sigma_min: float = 0.002  # least noise of the sampling grid, before the clean end
    sigma_max: float = 80.0  # noise that sampling starts from
    rho: float = 7.0  # curvature of the sampling grid (eq. 5)
    p_mean: float = -1.2  # log(sigma) is trained at a normal distribution: its mean
    p_std: float = 1.2  # and its standard deviation

    sampler: ClassVar = "heun"
    spacings: ClassVar = ("karras", "log_snr")

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise UsageError(f"EDM needs 0 < sigma-min < sigma-max, not {self.sigma_min} and {self.sigma_max}")
        if not (self.rho > 0 and self.p_std > 0):
            raise UsageError(f"EDM needs rho > 0 and p-std > 0, not {self.rho} and {self.p_std}")

    @property
    def ratios(self) -> tuple[float, float]:
        return self.sigma_min, self.sigma_max

    def level(self, t: Array) -> Level:
        return Level(t, numpy_for(t).ones_like(t), t)

    def at(self, ratio: Array) -> Level:
        return self.level(ratio)

    def draw(self, u_B: Array) -> Array:
        """Log-normal sigma."""
        return jnp.exp(self.p_mean + self.p_std * jax.scipy.special.ndtri(inside(u_B)))

    def spacing(self, sampler: str) -> str:
        """The paper's own, but for a sampler that walks evenly in log(sigma)."""
        return "log_snr" if sampler == "dpmpp_2m" else self.spacings[0]

    def _grid(self, steps: int, spacing: str) -> Level:
        """ "karras": Karras et al. 2022, eq. 5. "log_snr": evenly in log(sigma), as of DDPM."""
        return clean(self.level(ratios(spacing, self.sigma_min, self.sigma_max, self.rho, steps)))

    def condition(self, level: Level) -> Array:
        """log(sigma) / 4 (Karras et al. 2022, table 1)."""
        return numpy_for(level.sigma).log(level.sigma) / 4
