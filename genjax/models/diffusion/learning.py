"""The errors that a diffusion model is trained on, and the inputs of its network beside the noisy image."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from genjax.diffusion import Estimate, Level, diffuse, likelihood
from genjax.diffusion import target as targets
from genjax.models.augment import augmented
from genjax.models.base import Array, Batch, Params, Tree
from genjax.models.diffusion.degradation import degrade
from genjax.nn import noise

if TYPE_CHECKING:
    from genjax.models.diffusion.model import Diffusion

__all__ = ["Errors", "before", "errors", "inputs_of", "spread", "vlb_scale"]

GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, cover [0, 1) evenly


class Errors(NamedTuple):
    """Each (B,), at one level an example."""

    mse_B: Array  # weighted mean square of F - F*
    vlb_B: Array | None  # the bound's term of this level, where the variance is learned

    def loss_B(self, model: "Diffusion") -> Array:
        return self.mse_B if self.vlb_B is None else self.mse_B + vlb_scale(model) * self.vlb_B


def vlb_scale(model: "Diffusion") -> float:
    """The weight of the mean over levels: of the bound's sum."""
    return model.vlb_weight * model.process.steps


def spread(key: Array, index_B: Array) -> Array:
    """(B,) u in [0, 1), one random shift of points that cover it evenly, whichever rows of a batch count."""
    return (jax.random.uniform(key) + GOLDEN * index_B.astype(jnp.float32)) % 1.0


def errors(
    model: "Diffusion",
    params: Params,
    state: Tree,
    batch: Batch,
    key: Array,
    u_B: Array | None = None,
    *,
    train: bool,
) -> Errors:
    """The errors at the levels that u in [0, 1) draws; None draws u at random."""
    index_B = batch["index"]
    if u_B is None:
        level_key, key = jax.random.split(key)
        u_B = noise.uniform(level_key, index_B)
    encode_key, noise_key, task_key, label_key, self_key, dropout_key = jax.random.split(key, 6)
    x0, inputs = model.space.encode(params, state, batch, encode_key), inputs_of(model, batch, task_key)
    inputs["given"] = model.given(params, batch)
    if train and model.augment:  # of pixels, whose encoding draws nothing
        x0, inputs["augment_BA"] = augmented(x0, encode_key, index_B, model.augment)
    level = model.process.level(model.process.draw(u_B))
    eps = noise.normal(noise_key, index_B, model.shape)
    x = diffuse(level, x0, eps)
    if train:
        inputs["dropout"] = (dropout_key, index_B)
        if model.guidable:
            left_out = noise.uniform(label_key, index_B) < model.label_dropout

            def keep(x: Array, none: Array) -> Array:
                return jnp.where(left_out.reshape(-1, *[1] * (x.ndim - 1)), none, x)

            inputs["given"] = jax.tree.map(keep, inputs["given"], model.nothing(params))
    previous = None
    if model.self_conditioning:  # in half of the examples the network sees its own first estimate
        first, _ = model.denoise(params, x, level, **inputs)
        half = (noise.uniform(self_key, index_B) < 0.5).reshape(-1, 1, 1, 1)
        previous = jnp.where(half, jax.lax.stop_gradient(first.image), 0.0)
    estimate, output = model.denoise(params, x, level, previous, **inputs)
    error = output - targets.make(model.target, level, x0, eps, model.sigma_data)
    weight_B = targets.weight(model.weighting, model.target, level, model.sigma_data, model.min_snr_gamma)
    mse_B = weight_B * jnp.mean(jnp.square(error), axis=(1, 2, 3))
    if model.variance != "learned":
        return Errors(mse_B, None)
    held = Estimate(jax.lax.stop_gradient(estimate.image), estimate.variance)
    return Errors(mse_B, likelihood.vlb_term(x0, held, level, *before(model, level)))


def before(model: "Diffusion", level: Level) -> tuple[Level, float]:
    """The level one DDPM step cleaner, clean before the first, and the floor of the posterior's variance."""
    process = model.process
    previous, first = process.level(level.t - 1), level.t < 1
    cleaner = Level(previous.t, jnp.where(first, 1.0, previous.alpha), jnp.where(first, 0.0, previous.sigma))
    return cleaner, likelihood.variance_floor(process.grid(process.steps))


def inputs_of(model: "Diffusion", conditions: Batch, key: Array) -> dict[str, Any]:
    """The network's inputs beside x and what is given: for a task the image made worse (`init` is worse already)."""
    inputs = {}
    if model.task != "none":
        image, index_B = conditions.get("init", conditions.get("image")), conditions["index"]
        worse = degrade(model.task, image, key, index_B, factor=model.factor, mask_BHW1=conditions.get("mask"))
        inputs["condition_BHWC"] = image if "init" in conditions and model.task == "deblur" else worse
    return inputs
