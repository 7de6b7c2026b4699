"""The straight path from image to noise of flow matching."""

import dataclasses
from typing import Any, ClassVar

import jax
import numpy as np

from genjax.diffusion.process import Level, Process, inside, numpy_for
from genjax.errors import UsageError
from genjax.registry import register

__all__ = ["Flow"]

Array = Any


@register
@dataclasses.dataclass(frozen=True)
class Flow(Process):
    """The straight path of flow matching and rectified flow (Lipman et al. 2023; Liu et al. 2023) with its time turned
    so that noise is at the end as in Esser et al. 2024, eq. 13: alpha = 1 - t, sigma = t, t in [0, 1]."""

    shift: float = 1.0  # > 1 spends more of the time at high noise (Esser et al. 2024, eq. 23), trained and sampled
    logit_normal: bool = False  # trains more in the middle of the path: t = sigmoid(normal), Esser et al. 2024, eq. 19

    sampler: ClassVar = "euler"
    spacings: ClassVar = ("uniform",)
    churns: ClassVar = False

    def __post_init__(self):
        if not self.shift > 0:
            raise UsageError(f"a flow needs shift > 0, not {self.shift}")

    @property
    def starts_blind(self) -> bool:
        return True

    @property
    def ratios(self) -> tuple[float, float]:
        """The least is that of t = 0.001, as at 0 no density is known."""
        return 1e-3 / (1 - 1e-3), np.inf

    def level(self, t: Array) -> Level:
        return Level(t, 1 - t, t)

    def at(self, ratio: Array) -> Level:
        return Level(ratio / (1 + ratio), 1 / (1 + ratio), ratio / (1 + ratio))

    def draw(self, u_B: Array) -> Array:
        u_B = inside(u_B)
        return self._shifted(jax.nn.sigmoid(jax.scipy.special.ndtri(u_B)) if self.logit_normal else u_B)

    def _grid(self, steps: int, spacing: str) -> Level:
        """Uniform in t, then shifted."""
        return self.level(self._shifted(np.linspace(1.0, 0.0, steps + 1)))

    def condition(self, level: Level) -> Array:
        """1000 t, the range that sinusoidal embeddings are made for."""
        return 1000 * level.t

    def scale(self, level: Level) -> Array:
        """1: the slope is the flow's velocity."""
        return numpy_for(level.alpha).ones_like(level.alpha)

    def _shifted(self, t: Array) -> Array:
        return self.shift * t / (1 + (self.shift - 1) * t)
