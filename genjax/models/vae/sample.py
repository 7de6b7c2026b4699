"""What a VAE makes: images from the prior, reconstructions, and the way from one image to another."""

import dataclasses
import math
from typing import TYPE_CHECKING, Literal, Self

import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError
from genjax.models.base import ROW, Array, Batch, Given, LabelOptions, Layout, Params
from genjax.models.images import label_of
from genjax.nn import noise

if TYPE_CHECKING:
    from genjax.models.vae.model import VAE

__all__ = ["LAYOUTS", "VAEOptions", "interpolate", "sample"]


@dataclasses.dataclass(frozen=True)
class VAEOptions(LabelOptions):
    """prior: decode z ~ N(0, I). reconstruct: validation images, encoded and decoded.
    interpolate: each row of eight leads from one validation image to another."""

    mode: Literal["prior", "reconstruct", "interpolate"] = "prior"  # new images, or of validation images
    temperature: float = 1.0  # scales the standard deviation of the prior

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature}: must be 0 or a positive number")

    def conditions(self, model: "VAE", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Labels for the prior; otherwise the images and labels are those of validation (`VAE.needs`)."""
        if self.mode == "prior":
            return super().conditions(model, given, num)
        if self.label:
            raise UsageError(f"--label: the samples of --mode {self.mode} have the labels of their validation images")
        return {}, self


LAYOUTS = {
    "prior": Layout(),
    "reconstruct": Layout(beside=("given.image", "image")),
    "interpolate": Layout(columns=ROW),
}


def sample(model: "VAE", params: Params, key: Array, conditions: Batch, options: VAEOptions) -> Array:
    """(N, H, W, C) means of p(x | z); see `VAE.sample`."""
    index_N, label_N = conditions["index"], label_of(model, conditions)
    if options.mode == "prior":
        z = options.temperature * noise.normal(key, index_N, model.latent_shape)
    else:
        z, _ = model.posterior(params, model.seen(conditions["image"], key, index_N), label_N)
    if options.mode == "interpolate":
        z, label_N = interpolate(z, label_N)
    return model.mean_image(params, z, label_N)


def interpolate(z_NZ: Array, label_N: Array | None, steps: int = ROW) -> tuple[Array, Array | None]:
    """As many z: each `steps` of them lie on the straight line from one z to another, with the first one's label."""
    number, shape = len(z_NZ), z_NZ.shape[1:]
    rows = -(-number // steps)
    start, end = z_NZ[:rows], jnp.roll(z_NZ, -rows, axis=0)[:rows]
    t = jnp.linspace(0.0, 1.0, steps).reshape(1, steps, *[1] * len(shape))
    z = ((1 - t) * start[:, None] + t * end[:, None]).reshape(-1, *shape)[:number]
    return z, None if label_N is None else jnp.repeat(label_N[:rows], steps)[:number]
