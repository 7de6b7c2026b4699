"""Diffusion and flow models: a network trained to tell the signal from the noise, at every level of noise.

Ho et al. 2020 (DDPM, arXiv:2006.11239), Karras et al. 2022 (EDM, arXiv:2206.00364), Lipman et al. 2022 and Liu et al.
2022 (flow matching, arXiv:2210.02747, arXiv:2209.03003). What differs between them is data: a process, a target, a
network, a sampler (`genjax.diffusion`); here they meet in one denoiser D(x; level), the estimate of x0.
"""

import dataclasses
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion import guidance, inpainting, likelihood, samplers, target
from genjax.diffusion.ode import Denoise, Estimate, clipped, invert
from genjax.diffusion.process import DDPM, EDM, Flow, Level, diffuse, expand
from genjax.errors import UsageError, UserError
from genjax.models import degradation
from genjax.models.base import (
    Array,
    Batch,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Tree,
    Turn,
    require,
    require_agreement,
    valid_rows,
)
from genjax.models.degradation import Task, degrade
from genjax.models.denoisers import DiTConfig, UNetConfig
from genjax.models.diffusion_options import STRENGTH, DiffusionOptions
from genjax.networks.dit import RULES
from genjax.nn import noise
from genjax.spec import DataSpec

GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, cover [0, 1) evenly


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diffusion(Model):
    """One entry "denoiser", one turn "denoise". Images in [-1, 1]; the loss is a mean over their elements."""

    process: DDPM | EDM | Flow = DDPM()  # noqa: RUF009, frozen
    target: Literal["epsilon", "x0", "v", "velocity", "edm"] = "epsilon"  # what the network puts out
    weighting: Literal["simple", "min_snr", "edm"] = "simple"  # simple: plain mean squares of the target
    min_snr_gamma: float = 5.0  # Hang et al. 2023, arXiv:2303.09556
    sigma_data: float = 0.5  # standard deviation of the data, for the target "edm"
    variance: Literal["small", "large", "learned"] = "large"  # of ddpm's steps: posterior's, beta, or between the two
    vlb_weight: float = 0.001  # learned variance: of the bound, beside the loss (Nichol & Dhariwal 2021, equation 16)
    self_conditioning: bool = False  # the last estimate is an input (Chen et al. 2022, arXiv:2208.04202)
    conditional: bool | None = None  # on the label; None = if there are labels
    label_dropout: float = 0.1  # share of labels left out in training, for classifier-free guidance
    task: Task = "none"  # restore an image instead of making one up
    factor: int = 4  # super_resolution: how many times smaller the input is
    network: UNetConfig | DiTConfig = UNetConfig()  # noqa: RUF009, frozen
    likelihood_steps: int = 0  # evaluation: bits/dim by the probability-flow ODE in so many steps; 0 = not measured
    image_shape: tuple[int, int, int] | None = None
    classes: int | None = None

    Options: ClassVar = DiffusionOptions
    rules: ClassVar = tuple((f"denoiser/{path}", spec) for path, spec in RULES)
    measured: ClassVar = ("likelihood_steps",)
    pixels: ClassVar[bool] = True  # images in [-1, 1] are denoised: estimates beyond can be clipped

    def __post_init__(self):
        if self.target == "epsilon" and isinstance(self.process, Flow):
            raise UsageError(
                "Diffusion: a flow starts without any signal, where epsilon says nothing of the image: "
                "take the target velocity, v, x0 or edm"
            )
        if self.variance == "learned" and not isinstance(self.process, DDPM):
            raise UsageError("Diffusion: only the process DDPM has a variance to learn")
        if not 0 <= self.label_dropout < 1:
            raise UsageError(f"Diffusion: label_dropout {self.label_dropout} must be in [0, 1)")
        if not (self.sigma_data > 0 and self.min_snr_gamma > 0 and self.vlb_weight >= 0):
            raise UsageError("Diffusion: sigma_data and min_snr_gamma must be positive, vlb_weight not negative")
        if self.factor < 2:
            raise UsageError(f"Diffusion: factor {self.factor} must be at least 2")
        if self.likelihood_steps < 0 or self.likelihood_steps == 1:
            raise UsageError(f"Diffusion: likelihood_steps {self.likelihood_steps} must be 0, for none, or at least 2")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("denoise", trains=("denoiser",)),)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": DiffusionOptions(trajectory=8, compare=self.task != "none")}

    @property
    def stack(self) -> DiTConfig | None:
        return self.network if isinstance(self.network, DiTConfig) else None

    def with_stack(self, **fields) -> "Diffusion":
        return dataclasses.replace(self, network=dataclasses.replace(self.network, **fields))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what is denoised."""
        return self.image_shape

    def resolve(self, spec: DataSpec) -> "Diffusion":
        conditional = bool(spec.classes) if self.conditional is None else self.conditional
        classes = require(spec, "classes", "a conditional diffusion model") if conditional else 0
        shape = require(spec, "image_shape", "Diffusion")
        require_agreement(self, image_shape=shape, **({"classes": classes} if conditional else {}))
        resolved = dataclasses.replace(self, image_shape=shape, conditional=conditional, classes=classes)
        if self.task == "super_resolution" and (shape[0] % self.factor or shape[1] % self.factor):
            raise UsageError(f"--model.factor {self.factor} does not divide the images' {shape[0]} x {shape[1]} pixels")
        if self.task == "colorize" and shape[-1] == 1:
            raise UserError("--model.task colorize needs images with colours, and this data's are grey")
        resolved.network.check(resolved.shape)
        return resolved

    def on(self, platform: str) -> "Diffusion":
        return dataclasses.replace(self, network=self.network.on(platform, self.dtype))

    def networks(self) -> dict[str, nn.Module]:
        channels = self.shape[-1] * (2 if self.variance == "learned" else 1)
        return {"denoiser": self.network.build(channels, self.classes or 0, self.dtype)}

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        height, width, channels = self.shape
        inputs = channels * (1 + self.self_conditioning) + degradation.channels(self.task, channels)
        x, label = jnp.zeros((1, height, width, inputs)), jnp.zeros((1,), jnp.int32) if self.conditional else None
        return {"denoiser": self.networks()["denoiser"].init(key, x, jnp.zeros((1,)), label)["params"]}, {}

    # What is denoised: images here, their latents in `LatentDiffusion`.

    def encode(self, params: Params, batch: Batch, key: Array) -> Array:
        """x0 (B, *shape) of a batch."""
        return batch["image"]

    def decode(self, params: Params, x0_BHWC: Array, conditions: Batch) -> Array:
        """The images (B, H, W, C) in [-1, 1] of x0."""
        return jnp.clip(x0_BHWC, -1, 1)

    def denoise(
        self,
        params: Params,
        x_BHWC: Array,
        level: Level,
        previous_BHWC: Array | None = None,
        *,
        label_B: Array | None = None,
        condition_BHWC: Array | None = None,
        dropout: tuple[Array, Array] | None = None,
    ) -> tuple[Estimate, Array]:
        """(D(x; level) with the learned variance, the network's output F).

        Args:
          x_BHWC: alpha x0 + sigma eps.
          level: of the whole batch (scalars) or of each example (B,).
          previous_BHWC: the last estimate, for self-conditioning; zeros at first.
          label_B: classes, where the number of classes stands for "no label".
          condition_BHWC: what a task gives, as `degrade` makes it.
          dropout: (key, index_B) in training.
        """
        scale = target.input_scale(self.target, expand(level, x_BHWC.ndim), self.sigma_data)
        inputs = [scale * x_BHWC]
        if self.self_conditioning:
            previous = jnp.zeros_like(x_BHWC) if previous_BHWC is None else previous_BHWC
            inputs.append(jnp.clip(previous, -1, 1) if self.pixels else previous)  # as in Chen et al.'s code
        if condition_BHWC is not None:
            inputs.append(condition_BHWC)
        key, index_B = dropout or (None, None)
        output = self.networks()["denoiser"].apply(
            {"params": params["denoiser"]},
            jnp.concatenate(inputs, axis=-1),
            jnp.broadcast_to(self.process.condition(level), x_BHWC.shape[:1]),
            label_B,
            index_B,
            rngs=None if key is None else {"dropout": key},
        )
        variance = None
        if self.variance == "learned":
            output, variance = jnp.split(output, 2, axis=-1)
            variance = (variance + 1) / 2  # the network's -1 and 1 are the two ends, as in the paper's code
        return Estimate(target.denoised(self.target, level, output, x_BHWC, self.sigma_data), variance), output

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Weighted mean square of F - F*, F* = a x0 + b eps: DDPM's equation 14, EDM's 8, flow matching's 23."""
        level_key, key = jax.random.split(key)
        loss_B, metrics = self._errors(params, batch, key, noise.uniform(level_key, batch["index"]), train=train)
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        return LossOutput(jnp.mean(loss_B), jnp.float32(loss_B.shape[0]), metrics, state)

    def _errors(
        self, params: Params, batch: Batch, key: Array, u_B: Array, *, train: bool
    ) -> tuple[Array, dict[str, Array]]:
        """(B,) losses, and their terms, at the levels that u in [0, 1) draws."""
        encode_key, noise_key, task_key, label_key, self_key, dropout_key = jax.random.split(key, 6)
        x0, index_B = self.encode(params, batch, encode_key), batch["index"]
        level = self.process.level(self.process.draw(u_B))
        eps = noise.normal(noise_key, index_B, self.shape)
        x = diffuse(level, x0, eps)
        given = self._given(batch, task_key)
        if train:
            given["dropout"] = (dropout_key, index_B)
            if self.conditional and self.label_dropout:
                left_out = noise.uniform(label_key, index_B) < self.label_dropout
                given["label_B"] = jnp.where(left_out, self.classes, given["label_B"])
        previous = None
        if self.self_conditioning:  # in half of the examples the network sees its own first estimate
            first, _ = self.denoise(params, x, level, **given)
            half = (noise.uniform(self_key, index_B) < 0.5).reshape(-1, 1, 1, 1)
            previous = jnp.where(half, jax.lax.stop_gradient(first.image), 0.0)
        estimate, output = self.denoise(params, x, level, previous, **given)
        error = output - target.make(self.target, level, x0, eps, self.sigma_data)
        weight_B = target.weight(self.weighting, self.target, level, self.sigma_data, self.min_snr_gamma)
        loss_B = weight_B * jnp.mean(jnp.square(error), axis=(1, 2, 3))
        if self.variance != "learned":
            return loss_B, {}
        held = Estimate(jax.lax.stop_gradient(estimate.image), estimate.variance)
        bound_B = likelihood.vlb_term(x0, held, level, *self._before(level))
        return loss_B + self.vlb_weight * self.process.steps * bound_B, {"mse": loss_B, "vlb": bound_B}

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, tuple[Array, Array]]:
        """The loss, at levels spread evenly over the examples. In bits per dimension: for DDPM its variational bound,
        estimated at one level an example; with `likelihood_steps` the likelihood by the probability-flow ODE."""
        level_key, error_key, encode_key, given_key, key = jax.random.split(key, 5)
        index_B = batch["index"]
        u_B = (jax.random.uniform(level_key) + GOLDEN * index_B.astype(jnp.float32)) % 1.0
        values = {"loss": self._errors(params, batch, error_key, u_B, train=False)[0]}
        x0, denoise = self.encode(params, batch, encode_key), self._denoiser(params, batch, given_key)
        values |= self._bits_per_dim(denoise, x0, u_B, key, index_B)
        valid_B = valid_rows(batch)
        return {name: (jnp.sum(value * valid_B), jnp.sum(valid_B)) for name, value in values.items()}

    def _bits_per_dim(self, denoise: Denoise, x0: Array, u_B: Array, key: Array, index_B: Array) -> dict[str, Array]:
        """(B,) estimates by name; see `evaluate`."""
        noise_key, dequantize_key, probe_key = jax.random.split(key, 3)
        values = {}
        if isinstance(self.process, DDPM):
            level = self.process.level(self.process.draw(u_B))
            x = diffuse(level, x0, noise.normal(noise_key, index_B, x0.shape[1:]))
            term_B = likelihood.vlb_term(
                x0, denoise(x, level, jnp.zeros_like(x)), level, *self._before(level), self.variance
            )
            values["vlb_bits_per_dim"] = self.process.steps * term_B + likelihood.vlb_prior(x0, self._noisiest)
        if self.likelihood_steps:
            x = likelihood.dequantize(x0, dequantize_key, index_B)
            values[f"ode{self.likelihood_steps}_bits_per_dim"] = likelihood.ode_bits_per_dim(
                denoise, x, self.likelihood_steps, process=self.process, key=probe_key, index_B=index_B
            )
        return values

    @property
    def _noisiest(self) -> Level:
        return Level(*(np.float32(values[0]) for values in self.process.grid(self.process.steps)))

    def _before(self, level: Level) -> tuple[Level, float]:
        """The level one DDPM step cleaner, clean before the first, and the floor of the posterior's variance."""
        before, first = self.process.level(level.t - 1), level.t < 1
        clean = Level(before.t, jnp.where(first, 1.0, before.alpha), jnp.where(first, 0.0, before.sigma))
        return clean, likelihood.variance_floor(self.process.grid(self.process.steps))

    def _given(self, conditions: Batch, key: Array) -> dict[str, Array | None]:
        """What the network sees beside x: the label, and for a task the image made worse (`init` is worse already)."""
        given = {"label_B": conditions["label"] if self.conditional else None}
        if self.task != "none":
            image, index_B = conditions.get("init", conditions.get("image")), conditions["index"]
            mask = conditions.get("mask")
            worse = degrade(self.task, image, key, index_B, factor=self.factor, mask_BHW1=mask)
            given["condition_BHWC"] = image if "init" in conditions and self.task == "deblur" else worse
        return given

    # Sampling.

    def needs_data(self, options: DiffusionOptions) -> bool:
        return self.task != "none" and not options.init

    def check(self, options: DiffusionOptions) -> DiffusionOptions:
        super().check(options).check(self.task)
        auto = {DDPM: "ddim", EDM: "heun", Flow: "euler"}[type(self.process)]
        sampler = auto if options.sampler == "auto" else options.sampler
        spacing = options.spacing
        if spacing == "auto" and sampler in ("heun", "dpmpp_2m") and isinstance(self.process, DDPM):
            spacing = "karras"  # on DDPM's uniform steps they would lose their second order
        default = 18 if sampler == "heun" else 50
        steps = options.steps or min(default, getattr(self.process, "steps", default))
        samplers.check(
            self.process,
            sampler,
            steps,
            spacing=spacing,
            variance=self._variance(sampler),
            eta=options.eta,
            churn=options.churning,
        )
        if options.invert:
            self._check_inversion(sampler, options)
        if options.guidance != 1.0 and not (self.conditional and self.label_dropout):
            raise UsageError(
                f"--guidance {options.guidance}: this model cannot be guided; that takes training with labels and "
                "--model.label-dropout above 0"
            )
        if options.clip and not self.pixels:
            raise UsageError("--clip: the latents that this model denoises have no bounds to clip to")
        clip = self.pixels and not options.invert if options.clip is None else options.clip
        return dataclasses.replace(options, sampler=sampler, steps=steps, spacing=spacing, clip=clip)

    def _check_inversion(self, sampler: str, options: DiffusionOptions) -> None:
        """Raises UsageError where sampling isn't the inverse of the ODE run backwards."""
        if sampler not in ("ddim", "euler", "heun") or options.eta or options.churn:
            raise UsageError(
                "--invert needs a sampler that runs backwards: ddim with eta 0, euler or heun without churn"
            )
        if self.self_conditioning:
            raise UsageError("--invert: with self-conditioning a step hangs on the one before and cannot be undone")
        if options.clip:
            raise UsageError("--invert: a clipped estimate cannot be undone, leave --clip out")

    def _variance(self, sampler: str) -> str:
        """Of a sampler's steps: the model's with "ddpm"; the others have none to choose."""
        return self.variance if sampler == "ddpm" else "small"

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: DiffusionOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)}, and with `trajectory` frames {"trajectory": (N, K, H, W, C)}: from noise to image.

        `conditions` may hold `label`; `init` (N, H, W, C) and `mask` (N, H, W, 1); for a model of a task `image`, which
        is made worse, or `init`, which is already. The options `init` and `mask` stand for what `conditions` holds.
        """
        files = {name: name if name in conditions else None for name in ("init", "mask")}
        options, index_B = self.check(dataclasses.replace(options, **files)), conditions["index"]
        encode_key, noise_key, given_key, key = jax.random.split(key, 4)
        grid = self.process.grid(options.steps, options.spacing)
        denoise = self._denoiser(params, conditions, given_key, options)
        after = None
        eps = noise.normal(noise_key, index_B, self.shape)
        x = eps * np.float32(grid.sigma[0])
        if self.task == "none" and "init" in conditions:
            known = self.encode(params, {**conditions, "image": conditions["init"]}, encode_key)
            if "mask" in conditions:
                painted = jax.image.resize(conditions["mask"], (*known.shape[:-1], 1), "linear") > 0
                after = inpainting.replace_known(known, ~painted, index_B)
                grid = inpainting.resampled(grid, options.resample)
            else:
                strength = STRENGTH if options.strength is None else options.strength
                left = max(1, round(strength * options.steps))
                grid = Level(*(values[-1 - left :] for values in grid))
                start = Level(*(values[0] for values in grid))
                x = diffuse(start, known, eps)
                if options.invert:
                    x = invert(denoise, known, grid, process=self.process, sampler=options.sampler)
        steps = np.count_nonzero(np.diff(grid.t) <= 0)  # a grid that resamples goes up in between
        frames = np.linspace(0, steps, options.trajectory).round().astype(int) if options.trajectory else ()
        x0, frames_KBHWC = samplers.sample(
            denoise,
            x,
            grid,
            process=self.process,
            sampler=options.sampler,
            key=key,
            index_B=index_B,
            eta=options.eta,
            churn=options.churning,
            variance=self._variance(options.sampler),
            after=after,
            frames=tuple(frames),
        )
        outputs = {"image": self.decode(params, x0, conditions)}
        if options.compare:
            given = self._given(conditions, given_key)["condition_BHWC"][..., : self.image_shape[-1]]
            given = jnp.broadcast_to(given, conditions["image"].shape)
            outputs["image"] = jnp.concatenate([given, outputs["image"], conditions["image"]], axis=2)
        if options.trajectory:
            outputs["trajectory"] = jnp.stack([self.decode(params, x, conditions) for x in frames_KBHWC], axis=1)
        return outputs

    def _denoiser(
        self, params: Params, conditions: Batch, key: Array, options: DiffusionOptions | None = None
    ) -> Denoise:
        """D(x; level) as samplers and likelihoods call it; guided, then clipped, as the options say."""
        given = self._given(conditions, key)
        label_B, options = given.pop("label_B"), options or self.Options()

        def denoise(x: Array, level: Level, previous: Array, label_B: Array | None = label_B) -> Estimate:
            rows = x.shape[0] // next(iter(conditions.values())).shape[0]  # 2 where guidance doubles them
            repeated = {name: jnp.tile(value, (rows, 1, 1, 1)) for name, value in given.items()}
            return self.denoise(params, x, level, previous, label_B=label_B, **repeated)[0]

        if label_B is not None:
            denoise = guidance.guided(denoise, label_B, self.classes, options.guidance, options.guidance_interval)
        return clipped(denoise) if options.clip else denoise
