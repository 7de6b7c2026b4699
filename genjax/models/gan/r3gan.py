"""R3GAN (Huang et al. 2024, arXiv:2501.05441): a relativistic loss with R1 and R2, and no other tricks."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models import images
from genjax.models.base import (
    Array,
    Batch,
    LabelOptions,
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
from genjax.models.gan.augment import Augmentation, augmented, refuse_ada, sign_sums
from genjax.models.gan.logits import judged, quantiles, verdict
from genjax.models.objectives import squared_gradient
from genjax.networks.gan import GANConfig
from genjax.networks.r3gan import R3GANConfig
from genjax.nn import noise
from genjax.nn.apply import init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image

__all__ = ["R3GAN"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class R3GAN(Model):
    """Entries "generator" and "discriminator", a turn for each. Networks without batch norm or other state.

    The paper's gamma falls by half a cosine from `gamma` to a tenth of it, or as `final_gamma` says.
    """

    network: GANConfig = R3GANConfig()  # noqa: RUF009, frozen
    latent: int = 64  # size of z ~ N(0, 1)
    conditional: bool | None = False  # on the label; None = if there are labels
    gamma: float = 1.0  # of R1 and R2
    final_gamma: float | None = None  # at `gamma_steps`; None = a tenth of gamma
    gamma_steps: int = 40_000
    augment: Augmentation | None = None  # DiffAugment(), RampedAugment()
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar[type[SampleOptions]] = LabelOptions
    best: ClassVar[tuple[str, str]] = ("swd", "min")
    metrics: ClassVar[tuple[str, ...]] = ("swd", "diversity")

    def __post_init__(self):
        if self.latent < 1 or self.gamma_steps < 1 or not self.gamma >= 0 or not (self.final_gamma or 0) >= 0:
            raise UsageError("R3GAN: latent and gamma_steps are positive, and gamma and final_gamma not negative")
        if self.network.couples_batch:
            raise UsageError("R3GAN penalizes each example's own gradient, which batch norm mixes: set another norm")
        refuse_ada(self.augment, "a difference of two")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(Turn(name, trains=(name,)) for name in ("discriminator", "generator"))

    def expects(self) -> dict[str, Field]:
        return images.expected_fields(self)

    def resolve(self, spec: DataSpec) -> "R3GAN":
        model = images.with_fields(self, spec)
        model.networks()  # refuses images that the networks cannot make
        return model

    def networks(self) -> dict[str, nn.Module]:
        classes = self.classes or 0
        return {
            "generator": self.network.generator(self.image_shape, classes, self.dtype),
            "discriminator": self.network.discriminator(classes, self.dtype),
        }

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {"generator": (jnp.zeros((1, self.latent)), label)}
        inputs |= {"discriminator": (jnp.zeros((1, *self.image_shape)), label)}
        params, state = init_networks(self.networks(), inputs, key, train=False)
        return params, state | ({"augment": self.augment.init()} if self.augment else {})

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """f(D(real) - D(fake)) with f(t) = log(1 + e^-t) for the discriminator, of the reverse for the generator.

        Equation 2: every real image is paired with one generated. Equation 4: the discriminator's turn adds gamma / 2
        (|grad D(real)|^2 + |grad D(fake)|^2), where the gradients pass through the augmentation.
        """
        require_turn(self, turn)
        real, label, index = images.images_of(batch), images.label_of(self, batch), batch["index"]
        fake = self._generate(params, self._latent(key, index), label)

        def judge(image: Array, number: int) -> Array:
            own_key = jax.random.fold_in(key, 1 + number)
            return self._judge(params, augmented(self.augment, state, image, own_key, index), label)

        if turn == "generator":
            lead_B = judge(fake, 1) - judge(real, 0)
            return LossOutput({"adversarial": Term.mean(nn.softplus(-lead_B))}, {"lead": Term.mean(lead_B)}, state)
        terms, logits = {}, {}
        for number, (name, image) in enumerate({"real": real, "fake": jax.lax.stop_gradient(fake)}.items()):
            logits[name], norm2_B = squared_gradient(lambda image, number=number: judge(image, number), image)
            terms["r1" if name == "real" else "r2"] = Term.mean(norm2_B, scale=0.5 * self._gamma(step))
        real_B, fake_B = logits["real"], logits["fake"]
        terms["adversarial"] = Term.mean(nn.softplus(fake_B - real_B))
        metrics = {name: Term.mean(value_B) for name, value_B in verdict(real_B, fake_B, boundary=None).items()}
        return LossOutput(terms, metrics, state, jax.lax.stop_gradient(sign_sums(real_B)))

    def _gamma(self, step: Array) -> Array:
        final = 0.1 * self.gamma if self.final_gamma is None else self.final_gamma
        share = jnp.minimum(step / self.gamma_steps, 1.0)
        return final + (self.gamma - final) * 0.5 * (1 + jnp.cos(jnp.pi * share))

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        if turn == "discriminator" and self.augment:
            state = {**state, "augment": self.augment.update(state["augment"], sums, step)}
        return params, state

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Logits of real and generated images, which mean something beside one another only."""
        label = images.label_of(self, batch)
        fake = self._generate(params, self._latent(key, batch["index"]), label)
        logits = self._judge(params, images.images_of(batch), label), self._judge(params, fake, label)
        return judged(*logits, valid_rows(batch), boundary=None)

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """The quantiles of the logits in place of their histograms."""
        return quantiles(metrics)

    # What it makes.

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: LabelOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)}."""
        z_NZ = self._latent(key, conditions["index"])
        return {"image": jnp.clip(self._generate(params, z_NZ, images.label_of(self, conditions)), -1, 1)}

    # The players.

    def _latent(self, key: Array, index_B: Array) -> Array:
        return noise.normal(jax.random.fold_in(key, 0), index_B, (self.latent,))

    def _generate(self, params: Params, z_BZ: Array, label_B: Array | None) -> Array:
        return self.networks()["generator"].apply({"params": params["generator"]}, z_BZ, label_B, train=True)

    def _judge(self, params: Params, image: Array, label_B: Array | None) -> Array:
        return self.networks()["discriminator"].apply({"params": params["discriminator"]}, image, label_B, train=True)
