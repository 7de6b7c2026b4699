"""Generative adversarial networks (Goodfellow et al. 2014, arXiv:1406.2661): DCGAN and its common losses."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.models.base import (
    Array,
    Batch,
    LabelOptions,
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
from genjax.networks import gan
from genjax.nn import noise
from genjax.nn.norm import Kind, spectral_normalize, spectral_vectors
from genjax.spec import DataSpec


class Objective(NamedTuple):
    """What each player pays for a logit, and the logit above which an image passes as real."""

    real: Callable[[Array], Array]  # the discriminator, for a real image
    fake: Callable[[Array], Array]  # the discriminator, for a generated one
    generator: Callable[[Array], Array]
    boundary: float | None = 0.0  # None: a critic's score has no zero


OBJECTIVES = {
    # Goodfellow et al. 2014, section 3: binary cross-entropy, and -log D(G(z)) for the generator.
    "non-saturating": Objective(lambda x: nn.softplus(-x), nn.softplus, lambda x: nn.softplus(-x)),
    # Mao et al. 2017 (arXiv:1611.04076), equation 9: targets 1 (real) and 0 (fake), with the factor 1/2.
    "least-squares": Objective(
        lambda x: 0.5 * (x - 1.0) ** 2, lambda x: 0.5 * x**2, lambda x: 0.5 * (x - 1.0) ** 2, 0.5
    ),
    # Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), equations 16 and 17.
    "hinge": Objective(lambda x: nn.relu(1.0 - x), lambda x: nn.relu(1.0 + x), lambda x: -x),
    # Arjovsky et al. 2017 (arXiv:1701.07875), equations 2 and 3.
    "wasserstein": Objective(lambda x: -x, lambda x: x, lambda x: -x, None),
}


@dataclasses.dataclass(frozen=True)
class GANOptions(LabelOptions):
    """`truncation` scales the latent: below 1 the images are more typical and less varied."""

    truncation: float = 1.0

    def __post_init__(self):
        if not 0 <= self.truncation < math.inf:
            raise UsageError(f"--truncation {self.truncation}: must be 0 or a positive number")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN(Model):
    """A generator against a discriminator.

    A turn writes the state of the entry it trains, and no other: the discriminator's turn its batch
    statistics (of the real, then the generated batch: two passes, as in DCGAN) and spectral vectors, the
    generator's turn its own. The turns of a step get one key, hence one latent batch: XLA computes the
    generator's pass once.
    """

    network: Literal["dcgan", "mlp"] = "dcgan"
    latent: int = 100  # size of z ~ N(0, 1); DCGAN's paper draws it uniformly
    generator_width: int = 64  # channels of the last hidden layer (dcgan), or hidden units (mlp)
    discriminator_width: int = 64  # channels of the first layer (dcgan), or hidden units (mlp)
    generator_norm: Kind = "batch"
    discriminator_norm: Kind = "batch"  # never "batch" with a penalty on the gradient of an example
    spectral_norm: bool = False  # of the discriminator's kernels (SNGAN)
    # On the label: projection discriminator, label embedding beside the latent; None = if there are labels.
    conditional: bool | None = False
    objective: Literal["non-saturating", "least-squares", "hinge", "wasserstein"] = "non-saturating"
    critic_steps: int = 1  # steps of the discriminator for one of the generator (WGAN: 5)
    clip: float = 0.0  # discriminator's weights are kept in [-clip, clip] (WGAN: 0.01); 0 = off
    gradient_penalty: float = 0.0  # lambda of WGAN-GP (10); 0 = off
    r1_gamma: float = 0.0  # gamma of the R1 penalty (1 to 10); 0 = off
    r1_every: int = 16  # steps between R1 turns (lazy regularization)
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar[type[SampleOptions]] = GANOptions
    best: ClassVar[tuple[str, str]] = ("swd", "min")
    set_metrics: ClassVar[tuple[str, ...]] = ("swd",)

    def __post_init__(self):
        for name in ("latent", "generator_width", "discriminator_width", "critic_steps", "r1_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        if self.classes is not None and self.classes < 0:
            raise UsageError(f"model.classes must not be negative, not {self.classes}")
        for name in ("clip", "gradient_penalty", "r1_gamma"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"model.{name} must not be negative (0 turns it off), not {getattr(self, name)}")
            if name != "clip" and getattr(self, name) > 0 and self.discriminator_norm == "batch":
                raise UsageError(
                    f"model.{name} is a penalty on each example's own gradient, which batch norm mixes:"
                    ' set model.discriminator_norm to "layer" or "none"'
                )

    @property
    def turns(self) -> tuple[Turn, ...]:
        r1 = Turn("r1", trains=("discriminator",), every=self.r1_every)
        return (
            Turn("discriminator", trains=("discriminator",)),
            *((r1,) if self.r1_gamma > 0 else ()),
            Turn("generator", trains=("generator",), every=self.critic_steps),
        )

    def networks(self) -> dict[str, nn.Module]:
        generator, discriminator = {
            "dcgan": (gan.DCGANGenerator, gan.DCGANDiscriminator),
            "mlp": (gan.MLPGenerator, gan.MLPDiscriminator),
        }[self.network]
        classes = self.classes if self.conditional else None
        shared = dict(classes=classes, dtype=self.dtype)
        return {
            "generator": generator(self.image_shape, self.generator_width, self.generator_norm, **shared),
            "discriminator": discriminator(self.discriminator_width, self.discriminator_norm, **shared),
        }

    def resolve(self, spec: DataSpec) -> Self:
        found = {"image_shape": require(spec, "image_shape", "GAN")}
        conditional = bool(spec.classes) if self.conditional is None else self.conditional
        if conditional:
            found["classes"] = require(spec, "classes", "a conditional GAN")
        require_agreement(self, **found)
        return dataclasses.replace(self, conditional=conditional, **found)

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        networks = self.resolve(spec).networks()
        g_key, d_key, u_key = jax.random.split(key, 3)
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {
            "generator": (g_key, jnp.zeros((1, self.latent))),
            "discriminator": (d_key, jnp.zeros((1, *spec.image_shape))),
        }
        params, state = {}, {}
        for name, (rng, x) in inputs.items():
            variables = networks[name].init(rng, x, label, train=False)
            params[name] = variables.pop("params")
            state[name] = dict(variables)
        if self.spectral_norm:
            state["discriminator"]["spectral"] = spectral_vectors(params["discriminator"], u_key)
        return params, {name: value for name, value in state.items() if value}

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """The turn's loss, float32, over the examples of the batch.

        "discriminator": objective(real) + objective(fake) + gradient penalty; "generator": its objective;
        "r1": r1_every * gamma / 2 * E |grad D(real)|^2 (Mescheder et al. 2018, arXiv:1801.04406, equation 9;
        every r1_every steps and that much stronger, as StyleGAN2 has it, arXiv:1912.04958, section 3.1).
        """
        if turn not in ("discriminator", "r1", "generator"):
            raise ValueError(f"GAN has no turn {turn!r}")
        objective = OBJECTIVES[self.objective]
        real, label, index = batch["image"], self._label(batch), batch["index"]
        params, new = self._normalized(params, state)

        if turn == "r1":
            norm2_B = self._gradient_norm2(params, new, real, label, train)
            loss = 0.5 * self.r1_gamma * self.r1_every * norm2_B.mean()
            metrics = {"r1": norm2_B.mean()}
        elif turn == "generator":
            fake, new = self._generate(params, new, self._latent(key, index), label, train)
            logit, _ = self._judge(params, new, fake, label, train)
            loss = objective.generator(logit).mean()
            metrics = {"fake_logit": logit.mean()}
        else:
            fake, _ = self._generate(params, new, self._latent(key, index), label, train)
            fake = jax.lax.stop_gradient(fake)
            real_logit, new = self._judge(params, new, real, label, train)
            fake_logit, new = self._judge(params, new, fake, label, train)
            loss = objective.real(real_logit).mean() + objective.fake(fake_logit).mean()
            metrics = {name: value.mean() for name, value in self._verdict(real_logit, fake_logit).items()}
            if self.gradient_penalty > 0:
                t_B = noise.uniform(jax.random.fold_in(key, 1), index)[:, None, None, None]
                between = t_B * real + (1.0 - t_B) * fake
                norm_B = jnp.sqrt(self._gradient_norm2(params, new, between, label, train) + 1e-12)
                penalty = ((norm_B - 1.0) ** 2).mean()
                loss += self.gradient_penalty * penalty
                metrics["gradient_penalty"] = penalty

        trained = "generator" if turn == "generator" else "discriminator"
        kept = {name: new[name] if train and name == trained else old for name, old in state.items()}
        return LossOutput(loss, jnp.float32(index.shape[0]), metrics, kept)

    def project(self, turn: str, params: Params) -> Params:
        """WGAN's weight clipping (Arjovsky et al. 2017, algorithm 1, line 7)."""
        if self.clip == 0 or turn == "generator":
            return params
        clipped = jax.tree.map(lambda w: jnp.clip(w, -self.clip, self.clip), params["discriminator"])
        return {**params, "discriminator": clipped}

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, tuple[Array, Array]]:
        """Mean logits of real and generated images, and how many of each the discriminator recognizes."""
        label, rows_B = self._label(batch), valid_rows(batch)
        params, _ = self._normalized(params, state)
        fake, _ = self._generate(params, state, self._latent(key, batch["index"]), label, train=False)
        real_logit, _ = self._judge(params, state, batch["image"], label, train=False)
        fake_logit, _ = self._judge(params, state, fake, label, train=False)
        verdict = self._verdict(real_logit, fake_logit)
        return {name: ((value * rows_B).sum(), rows_B.sum()) for name, value in verdict.items()}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)} for `index` (N,) and, when conditional, `label` (N,) of the conditions.

        The latents are those of `loss` under the same key; batch norm uses its running averages.
        """
        z = options.truncation * self._latent(key, conditions["index"])
        image, _ = self._generate(params, state, z, self._label(conditions), train=False)
        return {"image": image}

    def _label(self, batch: Batch) -> Array | None:
        if self.conditional and "label" not in batch:
            raise UserError("a conditional GAN needs a label for every image, and none was given")
        return batch["label"] if self.conditional else None

    def _latent(self, key: Array, index_B: Array) -> Array:
        return noise.normal(jax.random.fold_in(key, 0), index_B, (self.latent,))

    def _normalized(self, params: Params, state: Tree) -> tuple[Params, Tree]:
        """The discriminator's weights divided by their spectral norms, and the state with new vectors."""
        if not self.spectral_norm:
            return params, state
        weights, vectors = spectral_normalize(params["discriminator"], state["discriminator"]["spectral"])
        own = {**state["discriminator"], "spectral": vectors}
        return {**params, "discriminator": weights}, {**state, "discriminator": own}

    def _generate(self, params: Params, state: Tree, z_BZ: Array, label_B: Array | None, train: bool):
        return self._apply("generator", params, state, z_BZ, label_B, train)

    def _judge(self, params: Params, state: Tree, image: Array, label_B: Array | None, train: bool):
        return self._apply("discriminator", params, state, image, label_B, train)

    def _apply(
        self, name: str, params: Params, state: Tree, x: Array, label_B: Array | None, train: bool
    ) -> tuple[Array, Tree]:
        """The network's output, and the state with its new batch statistics."""
        own = state.get(name, {})
        stats = {"batch_stats": own["batch_stats"]} if "batch_stats" in own else {}
        variables = {"params": params[name], **stats}
        mutable = list(stats) if train else []
        out, new = self.networks()[name].apply(variables, x, label_B, train=train, mutable=mutable)
        return out, {**state, name: {**own, **new}}

    def _gradient_norm2(self, params: Params, state: Tree, image: Array, label_B: Array | None, train: bool) -> Array:
        """(B,) squared norm of each logit's gradient in its own image: examples do not mix."""
        gradient = jax.grad(lambda x: self._judge(params, state, x, label_B, train)[0].sum())(image)
        return (gradient**2).sum((1, 2, 3))

    def _verdict(self, real_logit_B: Array, fake_logit_B: Array) -> dict[str, Array]:
        verdict = {"real_logit": real_logit_B, "fake_logit": fake_logit_B}
        boundary = OBJECTIVES[self.objective].boundary
        if boundary is not None:
            verdict["real_accuracy"] = (real_logit_B > boundary).astype(jnp.float32)
            verdict["fake_accuracy"] = (fake_logit_B < boundary).astype(jnp.float32)
        return verdict
