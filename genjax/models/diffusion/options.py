"""What a user may choose when a diffusion model is sampled."""

import dataclasses
import math
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from genjax.diffusion.steps import Churn
from genjax.errors import UsageError
from genjax.models.base import Given, LabelOptions
from genjax.models.diffusion.degradation import Task

if TYPE_CHECKING:
    from genjax.models.diffusion.model import Diffusion

__all__ = ["STRENGTH", "DiffusionOptions"]

STRENGTH = 0.6  # where none is given


@dataclasses.dataclass(frozen=True)
class DiffusionOptions(LabelOptions):
    """How samples are drawn. An image given by `init` is where sampling starts, or what a model of a task restores."""

    steps: int | None = None  # of the sampler; None = 50 (heun: 18)
    sampler: Literal["auto", "ddpm", "ddim", "euler", "heun", "dpmpp_2m"] = "auto"  # auto: ddim, EDM heun, flow euler
    spacing: Literal["auto", "trailing", "leading", "linspace", "karras", "log_snr", "uniform"] = "auto"  # of noise
    # levels: DDPM has the first five, EDM karras and log_snr, flow uniform; auto: karras for heun and EDM, log_snr for
    # dpmpp_2m, trailing for DDPM's others
    end: Literal["clean", "least"] = "clean"  # ddim: the last step leads to the image, or to the process' least noise
    eta: float = 0.0  # ddim: 0 is deterministic, 1 as noisy as ddpm
    churn: float = 0.0  # heun: noise added over the whole of sampling, S_churn of EDM
    churn_min: float = 0.0  # from this sigma / alpha on, S_min
    churn_max: float = float("inf")  # up to this one, S_max
    churn_noise: float = 1.0  # its standard deviation, S_noise
    clip: bool | None = None  # every estimate of the image to [-1, 1]; None = with DDPM's images, not latents
    guidance: float = 1.0  # classifier-free; 1 = none
    guidance_interval: tuple[float, float] = (0.0, float("inf"))  # of sigma / alpha, where guidance acts
    init: str | None = None  # an image file to start from
    strength: float | None = None  # how far to noise the init image goes: 0 keeps it, 1 forgets it; None = 0.6
    invert: bool = False  # the init image goes there by the ODE run backwards instead of by random noise
    mask: str | None = None  # an image file: white is painted anew, black kept from the init image
    resample: int = 1  # mask: passes through each level of noise (RePaint)
    trajectory: int = 0  # frames of a strip from noise to sample; 0 = none
    compare: bool = False  # a model of a task: show input, result and original side by side

    def __post_init__(self):
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps}: must be at least 1")
        if not (self.eta >= 0 and self.churn >= 0 and self.trajectory >= 0 and self.resample >= 1):
            raise UsageError("--eta, --churn and --trajectory must not be negative, --resample at least 1")
        if not math.isfinite(self.guidance):
            raise UsageError(f"--guidance {self.guidance}: must be a finite number")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise UsageError(f"--strength {self.strength}: must be above 0 and at most 1")

    def conditions(self, model: "Diffusion", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Labels; `init` and `mask` from their files."""
        arrays, options = super().conditions(model, given, num)
        if self.init:
            arrays["init"] = _repeated(given.image(self.init, "--init", model.image_shape), num)
            if self.mask:
                mask = given.mask(self.mask, "--mask", self.init, model.image_shape)
                arrays["mask"] = _repeated(mask, num)
        return arrays, dataclasses.replace(options, init=None, mask=None)

    @property
    def churning(self) -> Churn:
        return Churn(self.churn, self.churn_min, self.churn_max, self.churn_noise)

    def check(self, task: Task) -> None:
        """Raises UsageError where options do not go together, or not with a model of this task."""
        restores, partway = task != "none", self.invert or self.strength is not None
        churns = self.churn > 0 or self.churning == Churn()
        refusals = {
            "--mask needs --init, the image that is kept where the mask is black": self.mask and not self.init,
            "--invert needs --init, the image to invert": self.invert and not self.init,
            "--strength needs --init, the image to start from": partway and not self.init,
            "--mask starts from noise: leave --strength and --invert out": partway and self.mask,
            f"--strength and --invert: the task {task} restores the --init image": partway and restores,
            f"--mask: the task {task} restores all of the --init image": self.mask and task not in ("none", "inpaint"),
            "--init: give --mask too, white where this model is to paint": (
                task == "inpaint" and self.init and not self.mask
            ),
            f"--resample: the task {task} fills a mask as it was trained to": self.resample > 1 and restores,
            "--resample needs --mask: it fits the new to what is known": self.resample > 1 and not self.mask,
            "--churn-min, --churn-max and --churn-noise need --churn": not churns,
            "--compare shows what a model of a task makes of validation images: leave it out": (
                self.compare and (not restores or self.init)
            ),
        }
        for reason, refused in refusals.items():
            if refused:
                raise UsageError(reason)


def _repeated(array: np.ndarray, num: int) -> np.ndarray:
    return np.broadcast_to(array, (num, *array.shape))
