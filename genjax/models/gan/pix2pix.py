"""pix2pix (Isola et al. 2017, arXiv:1611.07004): one picture made into another, learned from pairs."""

import dataclasses
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Model,
    Params,
    Term,
    Tree,
    Turn,
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.gan.directions import OTHER, Direction, PictureOptions
from genjax.models.images import images_of
from genjax.models.objectives import OBJECTIVES
from genjax.networks import PatchGAN, PixUNet, ResNet
from genjax.nn.apply import apply, init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, require

__all__ = ["Pix2Pix", "Pix2PixOptions"]


@dataclasses.dataclass(frozen=True)
class Pix2PixOptions(PictureOptions):
    """Another direction than the one that was trained is refused."""

    direction: Direction | None = None  # None = as it was trained


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pix2Pix(Model):
    """Entries "generator" and "discriminator"; AtoB makes `image_b` of `image_a`, x and y of the paper.

    The noise z is dropout in the generator, in samples as in training (section 3.2.1).
    """

    generator: PixUNet | ResNet = PixUNet()  # noqa: RUF009, frozen
    discriminator: PatchGAN = PatchGAN()  # noqa: RUF009, frozen
    objective: Literal["non-saturating", "least-squares"] = "non-saturating"
    l1: float = 100.0  # lambda of equation 4
    direction: Direction = "AtoB"
    source: tuple[int, int, int] | None = None  # shapes of x and y; None = of the data
    target: tuple[int, int, int] | None = None

    Options: ClassVar = Pix2PixOptions
    best: ClassVar = ("l1", "min")

    def __post_init__(self):
        if not self.l1 >= 0:
            raise UsageError(f"Pix2Pix: l1 is {self.l1}, must not be negative")

    @property
    def x(self) -> str:
        """The field that is read."""
        return "image_a" if self.direction == "AtoB" else "image_b"

    @property
    def y(self) -> str:
        """The field that is made."""
        return f"image_{OTHER[self.x[-1]]}"

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("discriminator", trains=("discriminator",)), Turn("generator", trains=("generator",)))

    @property
    def couples_batch(self) -> bool:
        return "batch" in (self.generator.norm, self.discriminator.norm)

    def networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator.translator(self.target[-1], self.dtype),
            "discriminator": self.discriminator.discriminator(self.dtype),
        }

    def expects(self) -> dict[str, Field]:
        shapes = {self.x: self.source, self.y: self.target}
        return {name: Image(*shape) for name, shape in shapes.items() if shape}

    def resolve(self, spec: DataSpec) -> "Pix2Pix":
        source, target = (require(spec, name, Image, "Pix2Pix").shape for name in (self.x, self.y))
        if source[:2] != target[:2]:
            raise UsageError(f"Pix2Pix needs pairs of one size, not {source} and {target}: --data.image-size")
        require_agreement(self, source=source, target=target)
        self.discriminator.check(*source[:2], "Pix2Pix")
        return dataclasses.replace(self, source=source, target=target)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        x, y = jnp.zeros((1, *self.source)), jnp.zeros((1, *self.target))
        inputs = {"generator": (x,), "discriminator": (jnp.concatenate([x, y], axis=-1),)}
        return init_networks(self.networks(), inputs, key, train=False)

    def generate(
        self, params: Params, state: Tree, x: Array, index_B: Array, key: Array, *, train: bool
    ) -> tuple[Array, Tree]:
        """G(x, z) of pictures (B, H, W, C), and the state."""
        noise = {"dropout": key}
        return apply(self.networks(), "generator", params, state, x, index_B, train=train, rngs=noise)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Equation 4: the conditional GAN's terms of equation 1, and l1 |y - G(x, z)|, a mean over pixels.

        The discriminator's loss is halved (section 3.3), and the generator maximizes log D(x, G(x, z)).
        """
        require_turn(self, turn)
        objective, x, y = OBJECTIVES[self.objective], images_of(batch, self.x), images_of(batch, self.y)
        fake, new = self.generate(params, state, x, batch["index"], key, train=train)

        def judge(picture: Array, state: Tree) -> tuple[Array, Tree]:
            pair = jnp.concatenate([x, picture], axis=-1)
            return apply(self.networks(), "discriminator", params, state, pair, train=train)

        if turn == "discriminator":  # a turn writes the statistics of its own entry only
            on_real, state = judge(y, state)
            on_fake, state = judge(jax.lax.stop_gradient(fake), state)
            term = Term.mean(objective.real(on_real) + objective.fake(on_fake), scale=0.5)
            return LossOutput({"halved": term}, {"real": Term.mean(on_real), "fake": Term.mean(on_fake)}, state)
        on_fake, _ = judge(fake, state)
        terms = {
            "adversarial": Term.mean(objective.generator(on_fake)),
            "l1": Term.mean(jnp.abs(y - fake), scale=self.l1),
        }
        return LossOutput(terms, {}, new)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The mean distance of pixels, in [-1, 1], between what is made and its true partner."""
        fake, _ = self.generate(params, state, images_of(batch, self.x), batch["index"], key, train=False)
        apart_B = jnp.abs(images_of(batch, self.y) - fake).mean((1, 2, 3))
        return {"l1": Term.mean(apart_B, valid_rows(batch))}

    def check(self, options: Pix2PixOptions) -> Pix2PixOptions:
        if options.direction not in (None, self.direction):
            raise UsageError(f"--direction {options.direction}: this model was trained {self.direction}")
        return dataclasses.replace(options, direction=self.direction)

    def needs(self, options: Pix2PixOptions) -> tuple[str, ...]:
        return () if options.path else (self.x, self.y)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {self.y: spec.fields[self.y]}

    def layout(self, options: Pix2PixOptions) -> Layout:
        return Layout((f"given.{self.x}", self.y, f"given.{self.y}"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: Pix2PixOptions
    ) -> dict[str, Array]:
        """The pictures (N, H, W, C) made of those of the other field, of any size."""
        x, index_N = conditions[self.x], conditions["index"]
        return {self.y: self.generate(params, state, x, index_N, key, train=False)[0]}
