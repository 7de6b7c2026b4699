"""What a user may choose when a diffusion model is sampled."""

import dataclasses
from typing import Literal

from genjax.errors import UsageError
from genjax.models.base import SampleOptions


@dataclasses.dataclass(frozen=True)
class DiffusionOptions(SampleOptions):
    """How samples are drawn. An image given by `init` is where sampling starts, or what a model of a task restores."""

    steps: int | None = None  # of the sampler; None = 50 (heun: 18)
    sampler: Literal["auto", "ddpm", "ddim", "euler", "heun", "dpmpp_2m"] = "auto"  # auto: ddim, EDM heun, flow euler
    spacing: Literal["auto", "uniform", "karras"] = "auto"  # of the noise levels; auto: karras for heun and dpmpp_2m
    eta: float = 0.0  # ddim: 0 is deterministic, 1 as noisy as ddpm
    churn: float = 0.0  # heun: noise added over the whole of sampling, S_churn of EDM
    guidance: float = 1.0  # classifier-free; 1 = none
    guidance_interval: tuple[float, float] = (0.0, float("inf"))  # of sigma / alpha, where guidance acts
    label: tuple[int, ...] = ()  # classes, in turn; () = all
    init: str | None = None  # an image file to start from
    strength: float = 0.6  # how much of the way to noise the init image goes: 0 keeps it, 1 forgets it
    invert: bool = False  # the init image goes there by the ODE run backwards instead of by random noise
    mask: str | None = None  # an image file: white is painted anew, black kept from the init image
    resample: int = 1  # mask: passes through each level of noise (RePaint)
    trajectory: int = 0  # frames of a strip from noise to sample; 0 = none
    compare: bool = False  # a model of a task: show input, result and original side by side

    def __post_init__(self):
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps}: must be at least 1")
        if self.eta < 0 or self.churn < 0 or self.trajectory < 0 or self.resample < 1:
            raise UsageError("--eta, --churn and --trajectory must not be negative, --resample at least 1")
        if not 0 < self.strength <= 1:
            raise UsageError(f"--strength {self.strength}: must be above 0 and at most 1")
        if self.mask and not self.init:
            raise UsageError("--mask needs --init, the image that is kept where the mask is black")
        if self.invert and not self.init:
            raise UsageError("--invert needs --init, the image to invert")
