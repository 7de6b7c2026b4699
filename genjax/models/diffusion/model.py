"""Diffusion and flow models: a network trained to tell the signal from the noise, at every level of noise.

Ho et al. 2020 (DDPM, arXiv:2006.11239), Karras et al. 2022 (EDM, arXiv:2206.00364), Lipman et al. 2022 and Liu et al.
2022 (flow matching, arXiv:2210.02747, arXiv:2209.03003). What differs between them is data: a process, a target, a
network, a space, a sampler (`genjax.diffusion`); here they meet in one denoiser D(x; level), the estimate of x0.
"""

import dataclasses
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.diffusion import DDPM, Estimate, Level, Process, expand
from genjax.diffusion import target as targets
from genjax.errors import UsageError, UserError
from genjax.models.augment import LABELS
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_turn,
    valid_rows,
)
from genjax.models.diffusion import bits, degradation, learning, sampling
from genjax.models.diffusion.degradation import Task
from genjax.models.diffusion.options import DiffusionOptions
from genjax.models.diffusion.space import Pixels, Space
from genjax.models.images import expected_fields, label_of, with_fields
from genjax.networks.base import Denoiser, Text
from genjax.networks.unet import UNetConfig
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image

__all__ = ["Diffusion"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Diffusion(Model):
    """Entry "denoiser", one turn "denoise", and the frozen entries of the space. The loss is a mean over elements."""

    process: Process = DDPM()  # noqa: RUF009, frozen
    space: Space = Pixels()  # noqa: RUF009, frozen
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
    augment: float = 0.0  # training images are turned, scaled, moved: each with this probability (augment.py); 0 = off
    factor: int = 4  # super_resolution: how many times smaller the input is
    network: Denoiser = UNetConfig()  # noqa: RUF009, frozen
    likelihood_steps: int = 0  # evaluation: bits/dim by the probability-flow ODE in so many steps, from 20; 0 = none
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar = DiffusionOptions
    measured: ClassVar = ("likelihood_steps",)

    def __post_init__(self):
        name = type(self.process).__name__
        if self.target == "epsilon" and self.process.starts_blind:
            raise UsageError(
                f"Diffusion: the process {name} starts without any signal, where epsilon says nothing of the image: "
                "take the target velocity, v, x0 or edm"
            )
        if self.variance == "learned" and not self.process.posterior:
            raise UsageError(f"Diffusion: the process {name} has no variance to learn, DDPM has")
        if not 0 <= self.label_dropout < 1:
            raise UsageError(f"Diffusion: label_dropout {self.label_dropout} must be in [0, 1)")
        if not (self.sigma_data > 0 and self.min_snr_gamma > 0 and self.vlb_weight >= 0):
            raise UsageError("Diffusion: sigma_data and min_snr_gamma must be positive, vlb_weight not negative")
        if self.factor < 2:
            raise UsageError(f"Diffusion: factor {self.factor} must be at least 2")
        if not 0 <= self.augment <= 1:
            raise UsageError(f"Diffusion: augment {self.augment} must be in [0, 1]")
        if self.augment and not (self.network.augmentable and self.space.pixels and self.task == "none"):
            raise UsageError(
                "Diffusion: augment is for making up images in pixels, with a network that can be told of it, such as "
                "SongUNetConfig: set --model.augment 0"
            )
        bits.check(self.likelihood_steps)
        if self.likelihood_steps and not self.space.pixels:
            raise UsageError("Diffusion: a likelihood of latents says nothing of the images: likelihood_steps 0")
        if self.task != "none" and not self.space.pixels:
            raise UsageError(f"Diffusion: the task {self.task} restores pixels: set --model.task none for latents")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("denoise", trains=("denoiser",)),)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what is denoised."""
        return self.space.shape(self.image_shape)

    @property
    def rules(self) -> tuple[tuple[str, tuple], ...]:
        return tuple((f"denoiser/{path}", axes) for path, axes in self.network.rules)

    @property
    def stack(self) -> Denoiser | None:
        return self.network.stack

    def with_stack(self, **fields) -> "Diffusion":
        return dataclasses.replace(self, network=dataclasses.replace(self.network, **fields))

    def expects(self) -> dict[str, Field]:
        return self.space.expects(expected_fields(self))

    def resolve(self, spec: DataSpec) -> "Diffusion":
        space, seen = self.space.resolve(spec, self.dtype)
        resolved = dataclasses.replace(with_fields(self, seen), space=space)
        height, width, channels = resolved.image_shape
        if self.task == "super_resolution" and (height % self.factor or width % self.factor):
            raise UsageError(f"--model.factor {self.factor} does not divide the images' {height} x {width} pixels")
        if self.task == "colorize" and channels == 1:
            raise UserError("--model.task colorize needs images with colours, and this data's are grey")
        resolved.network.check(resolved.shape)
        return resolved

    def on(self, platform: str) -> "Diffusion":
        network = self.network.on(platform, self.dtype)
        return dataclasses.replace(self, network=network, space=self.space.on(platform))

    def inside(self, name: str) -> Model:
        return getattr(self.space, "first_stage", self) if name == "first_stage" else self

    def networks(self) -> dict[str, nn.Module]:
        return {"denoiser": self.denoiser, **self.space.networks()}

    @property
    def guidable(self) -> bool:
        """Whether it was also trained without what it is conditioned on."""
        return bool(self.conditional and self.label_dropout)

    def given(self, params: Params, conditions: Batch) -> Any:
        """What pictures are made of, a tree of arrays (B, ...): the labels; None for nothing."""
        return label_of(self, conditions)

    def nothing(self, params: Params) -> Any:
        """What stands in `given`'s place where it is left out, of one row."""
        return self.classes

    @property
    def denoiser(self) -> nn.Module:
        channels = self.shape[-1] * (2 if self.variance == "learned" else 1)
        return self.network.build(channels, self.classes or 0, self.dtype)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        key, params, state = self.space.init(key, spec, batch_size)
        height, width, channels = self.shape
        inputs = channels * (1 + self.self_conditioning) + degradation.channels(self.task, channels)
        x, label = jnp.zeros((1, height, width, inputs)), jnp.zeros((1,), jnp.int32) if self.conditional else None
        told = (None, jnp.zeros((1, LABELS))) if self.augment else ()
        return {"denoiser": self.denoiser.init(key, x, jnp.zeros((1,)), label, *told)["params"], **params}, state

    def denoise(
        self,
        params: Params,
        x_BHWC: Array,
        level: Level,
        previous_BHWC: Array | None = None,
        *,
        given: Any = None,
        condition_BHWC: Array | None = None,
        dropout: tuple[Array, Array] | None = None,
        augment_BA: Array | None = None,
    ) -> tuple[Estimate, Array]:
        """(D(x; level) with the learned variance, the network's output F).

        Args:
          x_BHWC: alpha x0 + sigma eps.
          level: of the whole batch (scalars) or of each example (B,).
          previous_BHWC: the last estimate, for self-conditioning; zeros at first.
          given: labels (B,), where the number of classes stands for "no label", or a `Text`.
          condition_BHWC: what a task gives, as `degrade` makes it.
          dropout: (key, index_B) in training.
          augment_BA: what was done to the images; None = nothing.
        """
        scale = targets.input_scale(self.target, expand(level, x_BHWC.ndim), self.sigma_data)
        inputs = [scale * x_BHWC]
        if self.self_conditioning:
            previous = jnp.zeros_like(x_BHWC) if previous_BHWC is None else previous_BHWC
            inputs.append(jnp.clip(previous, -1, 1) if self.space.pixels else previous)  # as in Chen et al.'s code
        if condition_BHWC is not None:
            inputs.append(condition_BHWC)
        key, index_B = dropout or (None, None)
        output = self.denoiser.apply(
            {"params": params["denoiser"]},
            jnp.concatenate(inputs, axis=-1),
            jnp.broadcast_to(self.process.condition(level), x_BHWC.shape[:1]),
            None if isinstance(given, Text) else given,
            index_B,
            *(() if augment_BA is None else (augment_BA,)),
            **({"text": given} if isinstance(given, Text) else {}),
            rngs=None if key is None else {"dropout": key},
        )
        variance = None
        if self.variance == "learned":
            output, variance = jnp.split(output, 2, axis=-1)
            variance = (variance + 1) / 2  # the network's -1 and 1 are the two ends, as in the paper's code
        return Estimate(targets.denoised(self.target, level, output, x_BHWC, self.sigma_data), variance), output

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Weighted mean square of F - F*, F* = a x0 + b eps: DDPM's equation 14, EDM's 8, flow matching's 23.

        With a learned variance the bound besides, summed over all steps; its metric is that of one step.
        """
        require_turn(self, turn)
        errors = learning.errors(self, params, state, batch, key, train=train)
        terms = {"mse": Term.mean(errors.mse_B)}
        if errors.vlb_B is None:
            return LossOutput(terms, {}, state)
        terms["vlb"] = Term.mean(errors.vlb_B, scale=learning.vlb_scale(self))
        return LossOutput(terms, {"vlb": Term.mean(errors.vlb_B)}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The loss, at levels spread evenly over the examples; in bits per dimension DDPM's variational bound, and
        with `likelihood_steps` the likelihood by the probability-flow ODE (see bits.py)."""
        level_key, error_key, encode_key, given_key, key = jax.random.split(key, 5)
        u_B = learning.spread(level_key, batch["index"])
        errors = learning.errors(self, params, state, batch, error_key, u_B, train=False)
        values = {"loss": errors.loss_B(self)}
        if self.space.pixels:
            x0 = self.space.encode(params, state, batch, encode_key)
            denoise = sampling.denoiser(self, params, batch, given_key)
            values |= bits.per_dim(self, denoise, x0, u_B, key, batch["index"])
        valid_B = valid_rows(batch)
        return {name: Term.mean(value_B, valid_B) for name, value_B in values.items()}

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return bits.finalize(metrics)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": DiffusionOptions(trajectory=8, compare=self.task != "none")}

    def check(self, options: DiffusionOptions) -> DiffusionOptions:
        return sampling.check(self, super().check(options))

    def needs(self, options: DiffusionOptions) -> tuple[str, ...]:
        if self.task == "none" or options.init:
            return ()
        return ("image", "label") if self.conditional else ("image",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def layout(self, options: DiffusionOptions) -> Layout:
        return Layout(beside=("degraded", "image", "given.image") if options.compare else ())

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: DiffusionOptions
    ) -> dict[str, Array]:
        return sampling.sample(self, params, state, key, conditions, options)
