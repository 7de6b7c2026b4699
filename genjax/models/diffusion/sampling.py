"""How a diffusion model is sampled: which options go with it, and the walk from noise to image."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion import guidance, inpainting, samplers
from genjax.diffusion.ode import Denoise, Estimate, clipped, invert
from genjax.diffusion.process import Level, diffuse
from genjax.errors import UsageError
from genjax.models.base import Array, Batch, Params, Tree
from genjax.models.diffusion.learning import inputs_of
from genjax.models.diffusion.options import STRENGTH, DiffusionOptions
from genjax.nn import noise

if TYPE_CHECKING:
    from genjax.models.diffusion.model import Diffusion

__all__ = ["check", "denoiser", "sample"]


def check(model: "Diffusion", options: DiffusionOptions) -> DiffusionOptions:
    """The options with what they leave open filled in. Raises UsageError where they do not go with the model."""
    options.check(model.task)
    process = model.process
    sampler = process.sampler if options.sampler == "auto" else options.sampler
    spacing = process.spacing(sampler) if options.spacing == "auto" else options.spacing
    steps = options.steps or min(18 if sampler == "heun" else 50, process.most_steps or 50)
    samplers.check(
        process,
        sampler,
        steps,
        spacing=spacing,
        variance=_variance(model, sampler),
        eta=options.eta,
        churn=options.churning,
    )
    if options.end != "clean" and sampler != "ddim":
        raise UsageError(f'--end {options.end} goes with the sampler "ddim", not "{sampler}"')
    if options.invert:
        _check_inversion(model, sampler, options)
    if options.guidance != 1.0 and not model.guidable:
        raise UsageError(
            f"--guidance {options.guidance}: this model cannot be guided; that takes training with labels or texts, "
            "and --model.label-dropout above 0"
        )
    if options.clip and not model.space.pixels:
        raise UsageError("--clip: the latents that this model denoises have no bounds to clip to")
    clip = process.clips and model.space.pixels and not options.invert if options.clip is None else options.clip
    return dataclasses.replace(options, sampler=sampler, steps=steps, spacing=spacing, clip=clip)


def _check_inversion(model: "Diffusion", sampler: str, options: DiffusionOptions) -> None:
    """Raises UsageError where sampling isn't the inverse of the ODE run backwards."""
    if sampler not in ("ddim", "euler", "heun") or options.eta or options.churn:
        raise UsageError("--invert needs a sampler that runs backwards: ddim with eta 0, euler or heun without churn")
    if model.self_conditioning:
        raise UsageError("--invert: with self-conditioning a step hangs on the one before and cannot be undone")
    if options.clip:
        raise UsageError("--invert: a clipped estimate cannot be undone, leave --clip out")


def _variance(model: "Diffusion", sampler: str) -> str:
    """Of a sampler's steps: the model's with "ddpm"; the others have none to choose."""
    return model.variance if sampler == "ddpm" else "small"


def sample(
    model: "Diffusion", params: Params, state: Tree, key: Array, conditions: Batch, options: DiffusionOptions
) -> dict[str, Array]:
    """{"image": (N, H, W, C)}; with `trajectory` frames {"trajectory": (N, K, H, W, C)}, from noise to image; with
    `compare` {"degraded": (N, H, W, C)}, the input of a model of a task as far as it can be shown.

    `conditions` may hold `label`; `init` (N, H, W, C) and `mask` (N, H, W, 1); for a model of a task `image`, which
    is made worse, or `init`, which is already. The options `init` and `mask` stand for what `conditions` holds.
    """
    files = {name: name if name in conditions else None for name in ("init", "mask")}
    options, index_B = model.check(dataclasses.replace(options, **files)), conditions["index"]
    encode_key, noise_key, given_key, key = jax.random.split(key, 4)
    process, grid = model.process, model.process.grid(options.steps, options.spacing)
    if options.end == "least":
        grid = samplers.least_end(grid, process)
    denoise = denoiser(model, params, conditions, given_key, options)
    after = None
    eps = noise.normal(noise_key, index_B, model.shape)
    x = eps * np.float32(grid.sigma[0])
    if model.task == "none" and "init" in conditions:
        known = model.space.encode(params, state, {**conditions, "image": conditions["init"]}, encode_key)
        if "mask" in conditions:
            painted = jax.image.resize(conditions["mask"], (*known.shape[:-1], 1), "linear") > 0
            after = inpainting.replace_known(known, ~painted, index_B)
            grid = inpainting.resampled(grid, options.resample)
        else:
            strength = STRENGTH if options.strength is None else options.strength
            left = max(1, round(strength * options.steps))
            grid = Level(*(values[-1 - left :] for values in grid))
            x = diffuse(Level(*(values[0] for values in grid)), known, eps)
            if options.invert:
                x = invert(denoise, known, grid, process=process, sampler=options.sampler)
    steps = np.count_nonzero(np.diff(grid.t) <= 0)  # a grid that resamples goes up in between
    frames = np.linspace(0, steps, options.trajectory).round().astype(int) if options.trajectory else ()
    x0, frames_KBHWC = samplers.sample(
        denoise,
        x,
        grid,
        process=process,
        sampler=options.sampler,
        key=key,
        index_B=index_B,
        eta=options.eta,
        churn=options.churning,
        variance=_variance(model, options.sampler),
        after=after,
        frames=tuple(frames),
    )
    outputs = {"image": model.space.decode(params, state, x0, conditions)}
    if options.compare:
        worse = inputs_of(model, conditions, given_key)["condition_BHWC"][..., : model.image_shape[-1]]
        outputs["degraded"] = jnp.broadcast_to(worse, outputs["image"].shape)
    if options.trajectory:
        images = [model.space.decode(params, state, x, conditions) for x in frames_KBHWC]
        outputs["trajectory"] = jnp.stack(images, axis=1)
    return outputs


def denoiser(
    model: "Diffusion", params: Params, conditions: Batch, key: Array, options: DiffusionOptions | None = None
) -> Denoise:
    """D(x; level) as samplers and likelihoods call it; guided, then clipped, as the options say."""
    inputs, given, options = (
        inputs_of(model, conditions, key),
        model.given(params, conditions),
        options or DiffusionOptions(),
    )

    def denoise(x: Array, level: Level, previous: Array, given: Any = given) -> Estimate:
        rows = x.shape[0] // conditions["index"].shape[0]  # 2 where guidance doubles them
        repeated = {name: jnp.tile(value, (rows, 1, 1, 1)) for name, value in inputs.items()}
        return model.denoise(params, x, level, previous, given=given, **repeated)[0]

    if given is not None:
        null = model.nothing(params)
        denoise = guidance.guided(denoise, given, null, options.guidance, options.guidance_interval)
    return clipped(denoise) if options.clip else denoise
