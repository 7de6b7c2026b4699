"""The GAN: a generator against a discriminator."""

import dataclasses
import math
from typing import ClassVar, Literal, Self

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
from genjax.models.objectives import OBJECTIVES, squared_gradient
from genjax.networks.gan import DCGAN, GANConfig
from genjax.nn import noise
from genjax.nn.apply import apply, init_networks
from genjax.nn.norm import spectral_normalize, spectral_vectors
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image

__all__ = ["GAN", "GANOptions"]


@dataclasses.dataclass(frozen=True)
class GANOptions(LabelOptions):
    """`truncation` scales the latent: below 1 the images are more typical and less varied."""

    truncation: float = 1.0  # below 1 more typical and less varied

    def __post_init__(self):
        if not 0 <= self.truncation < math.inf:
            raise UsageError(f"--truncation {self.truncation}: must be 0 or a positive number")


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN(Model):
    """Entries "generator" and "discriminator", a turn for each; with `r1_gamma` a third, "r1", of the discriminator.

    A turn writes the state of the entry it trains, and no other: the discriminator's turn its batch
    statistics (of the real, then the generated batch: two passes, as in DCGAN) and spectral vectors, the
    generator's turn its own. The turns of a step get one key, hence one latent batch: XLA computes the
    generator's pass once.
    """

    network: GANConfig = DCGAN()  # noqa: RUF009, frozen
    latent: int = 100  # size of z ~ N(0, 1); DCGAN's paper draws it uniformly
    spectral_norm: bool = False  # of the discriminator's kernels (SNGAN)
    generator_spectral_norm: bool = False  # of the generator's kernels, but for embeddings (BigGAN)

    # On the label: a projection discriminator, and the generator as the network has it; None = if there are labels.
    conditional: bool | None = False
    objective: Literal["non-saturating", "least-squares", "hinge", "wasserstein"] = "non-saturating"  # of both turns
    critic_steps: int = 1  # steps of the discriminator for one of the generator (WGAN: 5)
    clip: float = 0.0  # discriminator's weights are kept in [-clip, clip] (WGAN: 0.01); 0 = off
    gradient_penalty: float = 0.0  # lambda of WGAN-GP (10); 0 = off
    r1_gamma: float = 0.0  # gamma of the R1 penalty (1 to 10); 0 = off
    r1_every: int = 16  # steps between R1 turns (lazy regularization)
    augment: Augmentation | None = None  # of what the discriminator sees: ADA(), DiffAugment(), RampedAugment()
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar[type[SampleOptions]] = GANOptions
    best: ClassVar[tuple[str, str]] = ("swd", "min")
    metrics: ClassVar[tuple[str, ...]] = ("swd", "diversity")

    def __post_init__(self):
        for name in ("latent", "critic_steps", "r1_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        if self.classes is not None and self.classes < 0:
            raise UsageError(f"model.classes must not be negative, not {self.classes}")
        if OBJECTIVES[self.objective].boundary is None:
            refuse_ada(self.augment, "a critic's score")
        for name in ("clip", "gradient_penalty", "r1_gamma"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"model.{name} must not be negative (0 turns it off), not {getattr(self, name)}")
            if name != "clip" and getattr(self, name) > 0 and "discriminator" in self.network.couples_batch:
                raise UsageError(
                    f"model.{name} is a penalty on each example's own gradient, which batch norm mixes:"
                    ' set model.network.discriminator_norm to "layer" or "none"'
                )

    @property
    def couples_batch(self) -> bool:
        return bool(self.network.couples_batch)

    @property
    def turns(self) -> tuple[Turn, ...]:
        r1 = Turn("r1", trains=("discriminator",), every=self.r1_every)
        return (
            Turn("discriminator", trains=("discriminator",)),
            *((r1,) if self.r1_gamma > 0 else ()),
            Turn("generator", trains=("generator",), every=self.critic_steps),
        )

    def expects(self) -> dict[str, Field]:
        return images.expected_fields(self)

    def resolve(self, spec: DataSpec) -> Self:
        model = images.with_fields(self, spec)
        model.networks()  # refuses images that the networks cannot make
        return model

    @property
    def generator_inputs(self) -> int:
        """Numbers that the generator makes an image of: those of `_latent`."""
        return self.latent

    def networks(self) -> dict[str, nn.Module]:
        classes = self.classes or 0
        return {
            "generator": self.network.generator(self.image_shape, classes, self.dtype),
            "discriminator": self.network.discriminator(classes, self.dtype),
        }

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        *_, vectors_key = jax.random.split(key, 3)  # the first two are those of the networks
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {"generator": (1, self.generator_inputs), "discriminator": (1, *self.image_shape)}
        inputs = {name: (jnp.zeros(shape), label) for name, shape in inputs.items()}
        params, state = init_networks(self.networks(), inputs, key, train=False)
        keys = {"discriminator": vectors_key, "generator": jax.random.fold_in(vectors_key, 0)}
        for entry in self._spectral:
            vectors = spectral_vectors(params[entry], keys[entry], embeddings=entry == "discriminator")
            state[entry] = {**state.get(entry, {}), "spectral": vectors}
        return params, state | ({"augment": self.augment.init()} if self.augment else {})

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """The turn's loss, float32, over the examples of the batch.

        "discriminator": objective(real) + objective(fake) + gradient penalty; "generator": its objective;
        "r1": r1_every * gamma / 2 * E |grad D(real)|^2 (Mescheder et al. 2018, arXiv:1801.04406, equation 9;
        every r1_every steps and that much stronger, as StyleGAN2 has it, arXiv:1912.04958, section 3.1).
        """
        trains = require_turn(self, turn).trains
        objective = OBJECTIVES[self.objective]
        real, label, index = images.images_of(batch), images.label_of(self, batch), batch["index"]
        params, new = self._normalized(params, state)
        sums = {}

        def shown(image: Array, number: int = 0) -> Array:
            return augmented(self.augment, state, image, jax.random.fold_in(key, 16 + number), index)

        def logits(image: Array) -> Array:
            return self._judge(params, new, shown(image), label, train)[0]

        if turn == "r1":
            _, norm2_B = squared_gradient(logits, real)
            terms = {"penalty": Term.mean(norm2_B, scale=0.5 * self.r1_gamma * self.r1_every)}
            metrics = {"r1": norm2_B}
        elif turn == "generator":
            fake, new = self._generate(params, new, self._latent(key, index), label, train)
            logit, _, more = self._judge_fake(params, new, shown(fake, 1), label, key, index, train)
            terms = {"adversarial": Term.mean(objective.generator(logit)), **more}
            metrics = {"fake_logit": logit}
        else:
            fake, _ = self._generate(params, new, self._latent(key, index), label, train)
            fake = jax.lax.stop_gradient(fake)
            real_logit, new = self._judge(params, new, shown(real), label, train)
            fake_logit, new, more = self._judge_fake(params, new, shown(fake, 1), label, key, index, train)
            terms = {"real": Term.mean(objective.real(real_logit)), "fake": Term.mean(objective.fake(fake_logit))}
            terms |= more
            metrics = verdict(real_logit, fake_logit, objective.boundary)
            if self.augment:
                sums = jax.lax.stop_gradient(sign_sums(real_logit - (objective.boundary or 0.0)))
            if self.gradient_penalty > 0:
                t_B = noise.uniform(jax.random.fold_in(key, 1), index)[:, None, None, None]
                between = t_B * real + (1.0 - t_B) * fake
                norm_B = jnp.sqrt(squared_gradient(logits, between)[1] + 1e-12)
                metrics["gradient_penalty"] = penalty_B = (norm_B - 1.0) ** 2
                terms["gradient_penalty"] = Term.mean(penalty_B, scale=self.gradient_penalty)

        kept = {name: new[name] if train and name in trains else old for name, old in state.items()}
        return LossOutput(terms, {name: Term.mean(value_B) for name, value_B in metrics.items()}, kept, sums)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """WGAN's weight clipping (Arjovsky et al. 2017, algorithm 1, line 7), and the augmentation's strength."""
        if self.augment and turn == "discriminator":
            state = {**state, "augment": self.augment.update(state["augment"], sums, step)}
        if self.clip == 0 or turn == "generator":
            return params, state
        clipped = jax.tree.map(lambda w: jnp.clip(w, -self.clip, self.clip), params["discriminator"])
        return {**params, "discriminator": clipped}, state

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Logits of real and generated images, and how many of each the discriminator recognizes."""
        label = images.label_of(self, batch)
        params, _ = self._normalized(params, state)
        fake, _ = self._generate(params, state, self._latent(key, batch["index"]), label, train=False)
        real_logit, _ = self._judge(params, state, images.images_of(batch), label, train=False)
        fake_logit, _ = self._judge(params, state, fake, label, train=False)
        return judged(real_logit, fake_logit, valid_rows(batch), OBJECTIVES[self.objective].boundary)

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """The quantiles of the logits in place of their histograms."""
        return quantiles(metrics)

    # What it makes.

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: GANOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)} for `index` (N,) and, when conditional, `label` (N,) of the conditions.

        The latents are those of `loss` under the same key; batch norm uses its running averages.
        """
        params, _ = self._normalized(params, state)
        z = options.truncation * self._latent(key, conditions["index"])
        image, _ = self._generate(params, state, z, images.label_of(self, conditions), train=False)
        return {"image": image}

    # The players.

    def _latent(self, key: Array, index_B: Array) -> Array:
        return noise.normal(jax.random.fold_in(key, 0), index_B, (self.latent,))

    @property
    def _spectral(self) -> tuple[str, ...]:
        """The entries whose kernels are divided by their spectral norms."""
        return ("discriminator",) * self.spectral_norm + ("generator",) * self.generator_spectral_norm

    def _normalized(self, params: Params, state: Tree) -> tuple[Params, Tree]:
        """The weights divided by their spectral norms, and the state with new vectors."""
        for entry in self._spectral:
            weights, vectors = spectral_normalize(params[entry], state[entry]["spectral"])
            params, state = {**params, entry: weights}, {**state, entry: {**state[entry], "spectral": vectors}}
        return params, state

    def _generate(self, params: Params, state: Tree, z_BZ: Array, label_B: Array | None, train: bool):
        return apply(self.networks(), "generator", params, state, z_BZ, label_B, train=train)

    def _judge(self, params: Params, state: Tree, image: Array, label_B: Array | None, train: bool):
        return apply(self.networks(), "discriminator", params, state, image, label_B, train=train)

    def _judge_fake(self, params, state: Tree, image: Array, label_B: Array | None, key: Array, index_B: Array, train):
        """`_judge` of generated images, and further terms of both players' losses, such as InfoGAN's."""
        return *self._judge(params, state, image, label_B, train), {}
