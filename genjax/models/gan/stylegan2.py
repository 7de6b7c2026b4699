"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), with ADA where it is asked for."""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models import images
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
from genjax.models.gan.augment import Augmentation, augmented, sign_sums
from genjax.models.gan.logits import judged, quantiles, verdict
from genjax.models.gan.stylegan2_sample import StyleGAN2Options, project, walk
from genjax.models.objectives import OBJECTIVES, squared_gradient
from genjax.networks.stylegan2 import StyleGAN2Config
from genjax.nn import noise
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image

__all__ = ["StyleGAN2"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleGAN2(Model):
    """Entries "mapping" and "synthesis", the generator, and "discriminator". Four turns, two of them lazy.

    The state holds the mean path length, the average w, and what the augmentation keeps; `update` moves them by what
    the whole batch left. The turns of a step share one key, hence one batch of latents and one pass of the generator.
    """

    network: StyleGAN2Config = StyleGAN2Config()  # noqa: RUF009, frozen
    conditional: bool | None = False  # on the label; None = if there are labels
    mixing: float = 0.9  # share of the images made of two latents
    r1_gamma: float = 10.0  # 0 = off
    r1_every: int = 16  # steps between R1 turns
    path_weight: float = 2.0  # 0 = off
    path_every: int = 4  # steps between turns of the path length
    path_decay: float = 0.01  # share of a new batch in the mean path length
    average_decay: float = 0.995  # of the average w
    augment: Augmentation | None = None  # ADA(), DiffAugment(), RampedAugment()
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar[type[SampleOptions]] = StyleGAN2Options
    best: ClassVar[tuple[str, str]] = ("swd", "min")
    metrics: ClassVar[tuple[str, ...]] = ("swd", "diversity")

    def __post_init__(self):
        for name in ("r1_every", "path_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("r1_gamma", "path_weight"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"model.{name} must not be negative (0 turns it off), not {getattr(self, name)}")
        for name in ("mixing", "path_decay", "average_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"model.{name} must be in [0, 1], not {getattr(self, name)}")

    @property
    def couples_batch(self) -> bool:
        return self.network.group > 1

    @property
    def turns(self) -> tuple[Turn, ...]:
        generator = ("mapping", "synthesis")
        r1 = Turn("r1", trains=("discriminator",), every=self.r1_every)
        path = Turn("path", trains=generator, every=self.path_every)
        return (
            Turn("discriminator", trains=("discriminator",)),
            *((r1,) if self.r1_gamma > 0 else ()),
            Turn("generator", trains=generator),
            *((path,) if self.path_weight > 0 else ()),
        )

    def expects(self) -> dict[str, Field]:
        return images.expected_fields(self)

    def resolve(self, spec: DataSpec) -> "StyleGAN2":
        model = images.with_fields(self, spec)
        model.networks()  # refuses images that the networks cannot make
        return model

    def networks(self) -> dict[str, nn.Module]:
        return self.network.networks(self.image_shape, self.classes or 0, self.dtype)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        config, side = self.network, self.image_shape[0]
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {
            "mapping": (jnp.zeros((1, config.latent)), label),
            "synthesis": (jnp.zeros((1, config.styles(side), config.style)),),
            "discriminator": (jnp.zeros((1, *self.image_shape)), label),
        }
        keys, networks = jax.random.split(key, len(inputs)), self.networks()
        params = {name: networks[name].init(k, *given)["params"] for k, (name, given) in zip(keys, inputs.items())}
        state = {"path": {"mean": jnp.zeros(())}, "style": {"average": jnp.zeros((config.style,))}}
        return params, state | ({"augment": self.augment.init()} if self.augment else {})

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """The turn's loss, float32, over the examples of the batch.

        "discriminator" and "generator": the non-saturating loss (Goodfellow et al. 2014); "r1": r1_every gamma / 2
        |grad D(real)|^2, where the gradient passes through the augmentation; "path": path_every times the path length
        penalty (section 3.2). A penalty that is due every k steps is k times as strong (section 3.1).
        """
        require_turn(self, turn)
        objective = OBJECTIVES["non-saturating"]
        real, label, index = images.images_of(batch), images.label_of(self, batch), batch["index"]
        sums = {}

        def judge(image: Array, number: int) -> Array:
            return self.judge(params, augmented(self.augment, state, image, _fold(key, number), index), label)

        if turn == "r1":
            _, norm2_B = squared_gradient(lambda image: judge(image, 0), real)
            terms = {"penalty": Term.mean(norm2_B, scale=0.5 * self.r1_gamma * self.r1_every)}
            metrics = {"r1": norm2_B}
        elif turn == "path":
            length_B = self._path_length(params, label, key, index)
            penalty_B = (length_B - state["path"]["mean"]) ** 2
            terms = {"penalty": Term.mean(penalty_B, scale=self.path_weight * self.path_every)}
            metrics = {"length": length_B}
            sums = {"length": length_B.sum(), "images": jnp.float32(len(index))}
        else:
            w_BLW, w_BW = self.styles(params, label, key, index)
            fake = self.synthesize(params, w_BLW, key, index)
            if turn == "generator":
                logit_B = judge(fake, 1)
                terms = {"adversarial": Term.mean(objective.generator(logit_B))}
                metrics = {"fake_logit": logit_B}
                sums = {"w": w_BW.sum(0), "images": jnp.float32(len(index))}
            else:
                fake_B, real_B = judge(jax.lax.stop_gradient(fake), 1), judge(real, 0)
                terms = {"real": Term.mean(objective.real(real_B)), "fake": Term.mean(objective.fake(fake_B))}
                metrics, sums = verdict(real_B, fake_B), sign_sums(real_B)
        metrics = {name: Term.mean(value_B) for name, value_B in metrics.items()}
        if turn == "discriminator" and "p" in state.get("augment", {}):
            metrics["p"] = Term.mean(state["augment"]["p"])
        return LossOutput(terms, metrics, state, jax.lax.stop_gradient(sums))

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """The mean path length, the average w, and ADA's p, from the whole batch."""
        if turn == "generator":
            state = {**state, "style": {"average": self._moved(state["style"]["average"], sums, "w")}}
        if turn == "path":
            state = {**state, "path": {"mean": self._moved(state["path"]["mean"], sums, "length")}}
        if turn == "discriminator" and self.augment:
            state = {**state, "augment": self.augment.update(state["augment"], sums, step)}
        return params, state

    def _moved(self, average: Array, sums: Tree, name: str) -> Array:
        share = self.path_decay if name == "length" else 1 - self.average_decay
        return average + share * (sums[name] / sums["images"] - average)

    def _path_length(self, params: Params, label_B: Array | None, key: Array, index_B: Array) -> Array:
        """(B,) |J^T y| of images of standard noise y and the Jacobian J in w (equation 4), its mean over layers."""
        w_BLW, _ = self.styles(params, label_B, key, index_B)
        side = math.prod(self.image_shape[:2]) ** 0.5
        y = noise.normal(_fold(key, 2), index_B, self.image_shape) / side
        gradient = jax.grad(lambda w_BLW: (self.synthesize(params, w_BLW, key, index_B) * y).sum())(w_BLW)
        return jnp.sqrt((gradient**2).sum(2).mean(1))

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Logits of real and generated images, and how many of each the discriminator recognizes.

        Rows that only fill up are replaced by the first one: the minibatch's standard deviation must not see them.
        """
        weight_B = valid_rows(batch)
        row_B = jnp.where(weight_B > 0, jnp.arange(len(weight_B)), jnp.argmax(weight_B))
        batch = {name: array[row_B] for name, array in batch.items()}
        label = images.label_of(self, batch)
        w_BLW, _ = self.styles(params, label, key, batch["index"])
        fake = self.synthesize(params, w_BLW, key, batch["index"])
        logits = self.judge(params, images.images_of(batch), label), self.judge(params, fake, label)
        return judged(*logits, weight_B)

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """The quantiles of the logits in place of their histograms."""
        return quantiles(metrics)

    # What it makes.

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def layout(self, options: StyleGAN2Options) -> Layout:
        return Layout(("given.project", "image")) if options.project else Layout()

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: StyleGAN2Options
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)}: new images, those of a walk, or the nearest ones to given images."""
        average_W = state["style"]["average"]
        if "project" in conditions:
            return {"image": project(self, params, average_W, key, conditions, options)}
        if options.mode == "walk":
            w_NW, index_N = walk(self, params, key, conditions, options), jnp.zeros_like(conditions["index"])
        else:
            index_N = conditions["index"]
            w_NW = self.map(params, self.latent(key, index_N), images.label_of(self, conditions))
        w_NW = average_W + options.truncation * (w_NW - average_W)
        image = self.synthesize(params, self.repeated(w_NW), key, index_N)
        return {"image": jnp.clip(image, -1, 1)}

    # The players.

    def latent(self, key: Array, index_B: Array, number: int = 0) -> Array:
        return noise.normal(_fold(key, 3 + number), index_B, (self.network.latent,))

    def map(self, params: Params, z_BZ: Array, label_B: Array | None) -> Array:
        """(B, W)."""
        return self.networks()["mapping"].apply({"params": params["mapping"]}, z_BZ, label_B)

    def repeated(self, w_BW: Array) -> Array:
        """(B, L, W): one w for all layers."""
        return jnp.repeat(w_BW[:, None], self.network.styles(self.image_shape[0]), 1)

    def styles(self, params: Params, label_B: Array | None, key: Array, index_B: Array) -> tuple[Array, Array]:
        """(B, L, W) with two latents for a share `mixing` of the images, from a random layer on; and the first's w."""
        w_BW = self.map(params, self.latent(key, index_B), label_B)
        w_BLW, layers = self.repeated(w_BW), self.network.styles(self.image_shape[0])
        if not self.mixing:
            return w_BLW, w_BW
        other = self.map(params, self.latent(key, index_B, 1), label_B)
        draw_B2 = noise.uniform(_fold(key, 5), index_B, (2,))
        crossing_B = 1 + jnp.floor(draw_B2[:, 0] * (layers - 1))
        crossing_B = jnp.where(draw_B2[:, 1] < self.mixing, crossing_B, layers)
        return jnp.where((jnp.arange(layers) < crossing_B[:, None])[..., None], w_BLW, other[:, None]), w_BW

    def synthesize(self, params: Params, w_BLW: Array, key: Array, index_B: Array) -> Array:
        """Images (B, H, W, C), with noise of the examples' own."""
        sides = self.network.noises(self.image_shape[0])
        added = tuple(noise.normal(_fold(key, 6 + i), index_B, (s, s, 1)) for i, s in enumerate(sides))
        return self.networks()["synthesis"].apply({"params": params["synthesis"]}, w_BLW, added)

    def judge(self, params: Params, image: Array, label_B: Array | None, **options):
        """Logits (B,); with features=True (logits, features)."""
        return self.networks()["discriminator"].apply({"params": params["discriminator"]}, image, label_B, **options)


def _fold(key: Array, number: int) -> Array:
    return jax.random.fold_in(key, number)
