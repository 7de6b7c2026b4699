"""VAE-GAN (Larsen et al. 2016, arXiv:1512.09300): an autoencoder that is judged by a discriminator's features."""

import dataclasses
from typing import ClassVar, Literal, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError
from genjax.models import images
from genjax.models.base import (
    Array,
    Batch,
    Given,
    Layout,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.gan.logits import histogram, quantiles
from genjax.models.objectives import OBJECTIVES
from genjax.models.vae.model import LOG_VARIANCE
from genjax.models.vae.sample import LAYOUTS, VAEOptions, interpolate
from genjax.networks.autoencoder import AutoencoderConfig, ConvAutoencoder
from genjax.networks.gan import DCGAN, GANConfig
from genjax.nn import noise
from genjax.nn.apply import apply, init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Label, require

__all__ = ["VAEGAN", "VAEGANOptions"]

LOOKED = 64  # validation images, times 4 and the classes, among which those of a class are looked for
MEMORY = 0.999  # of the running sums that the means of the attributes are of


@dataclasses.dataclass(frozen=True)
class VAEGANOptions(VAEOptions):
    """prior, reconstruct, interpolate: as of a VAE. arithmetic: the codes of validation images, plus the mean code of
    the class `add`, less that of the class `subtract`, whose images are taken then."""

    mode: Literal["prior", "reconstruct", "interpolate", "arithmetic"] = "prior"
    add: int | None = None  # arithmetic: the label whose mean code is added
    subtract: int | None = None  # arithmetic: the label whose mean code is taken away

    def conditions(self, model: "VAEGAN", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        if self.label:
            raise UsageError("--label: VAE-GAN learns without labels")
        if self.mode != "arithmetic" or self.subtract is None:
            return {}, self
        rows = given.rows(("image", "label"), 4 * max(num, LOOKED) * model.classes)
        image = rows["image"][rows["label"] == self.subtract][:num]
        if not len(image):
            raise UsageError(f"--subtract {self.subtract}: no validation image has this label")
        return {"subject": image}, self


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEGAN(Model):
    """Entries "encoder", "generator" (the decoder) and "discriminator", a turn for each, in the order of algorithm 1.

    Departures from the paper: the generator's adversarial term is -log D, as in Goodfellow et al. 2014, section 3, not
    log(1 - D); a player moves as soon as its gradient is known, so that the next one plays against what it has become.
    The networks are those of the suite's VAE and GAN.

    The state holds the mean code of every class, where the data has labels. Nothing else reads them.
    """

    encoder: AutoencoderConfig = ConvAutoencoder()  # noqa: RUF009, frozen
    network: GANConfig = DCGAN()  # noqa: RUF009, frozen
    latent: int = 128  # size of z
    gamma: float = 1e-3  # of the reconstruction, against the adversarial term, in the generator's turn (section 3.1)
    layer: int = -1  # of the discriminator's hidden layers, whose features are compared
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # that codes are averaged over; None = of the data, 0 = none

    Options: ClassVar = VAEGANOptions
    best: ClassVar = ("swd", "min")
    metrics: ClassVar = ("swd", "diversity")

    def __post_init__(self):
        if self.latent < 1 or (self.classes or 0) < 0:
            raise UsageError("VAEGAN: latent must be positive, and classes not negative")
        if not self.gamma >= 0:
            raise UsageError(f"VAEGAN: gamma is {self.gamma}, must not be negative")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(Turn(name, trains=(name,)) for name in ("encoder", "generator", "discriminator"))

    @property
    def couples_batch(self) -> bool:
        return bool(self.network.couples_batch)

    def expects(self) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)} if self.image_shape else {}

    def resolve(self, spec: DataSpec) -> "VAEGAN":
        shape, label = require(spec, "image", Image, "VAEGAN").shape, spec.fields.get("label")
        classes = label.classes if isinstance(label, Label) else 0
        require_agreement(self, image_shape=shape, classes=classes)
        if len(self.encoder.latent_shape(shape, self.latent)) != 1:
            raise UsageError("VAEGAN: its codes are vectors: take an encoder such as ConvAutoencoder")
        return dataclasses.replace(self, image_shape=shape, classes=classes)

    def networks(self) -> dict[str, nn.Module]:
        return {
            "encoder": self.encoder.encoder(2 * self.latent, 0, self.dtype),
            "generator": self.network.generator(self.image_shape, 0, self.dtype),
            "discriminator": self.network.discriminator(0, self.dtype),
        }

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        encoder_key, key = jax.random.split(key)
        networks, image = self.networks(), jnp.zeros((1, *self.image_shape))
        params, _ = init_networks(networks, {"encoder": (image,)}, encoder_key)
        inputs = {"generator": (jnp.zeros((1, self.latent)),), "discriminator": (image,)}
        players, state = init_networks(networks, inputs, key, train=False)
        if self.classes:
            state["codes"] = {"sum": jnp.zeros((self.classes, self.latent)), "count": jnp.zeros((self.classes, 1))}
        return params | players, state

    # The players.

    def posterior(self, params: Params, image: Array) -> tuple[Array, Array]:
        """(B, Z) mean and log variance of q(z | x), float32."""
        out = self.networks()["encoder"].apply({"params": params["encoder"]}, image)
        mean, log_variance = jnp.split(out.astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_variance, *LOG_VARIANCE)

    def _generate(self, params: Params, state: Tree, z_BZ: Array, train: bool) -> tuple[Array, Tree]:
        return apply(self.networks(), "generator", params, state, z_BZ, train=train)

    def _judge(self, params: Params, state: Tree, image: Array, train: bool) -> tuple[Array, Array, Tree]:
        """(logit (B,), features (B, F) float32 of the layer, state)."""
        judged = apply(self.networks(), "discriminator", params, state, image, train=train, features=True)
        (logit, hidden), state = judged
        if not -len(hidden) <= self.layer < len(hidden):
            raise UsageError(f"VAEGAN: layer {self.layer} of a discriminator that has {len(hidden)} hidden layers")
        return logit, hidden[self.layer].reshape(len(image), -1).astype(jnp.float32), state

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Algorithm 1, in nats an example. With x' decoded from z ~ q(z | x), and x_p from z ~ p(z):

        "encoder": KL(q || p) + L_like, where L_like = |Dis_l(x) - Dis_l(x')|^2 / 2 (equation 8, without its constant);
        "generator": gamma L_like - log D(x') - log D(x_p);
        "discriminator": -log D(x) - log(1 - D(x')) - log(1 - D(x_p)).
        """
        require_turn(self, turn)
        objective, image, index = OBJECTIVES["non-saturating"], images.images_of(batch), batch["index"]
        values, judged, new = self._play(params, state, image, key, index, train)
        real, made, drawn = judged
        if turn == "encoder":
            terms = {"kl": Term.mean(values["kl"]), "likeness": Term.mean(values["likeness"])}
        elif turn == "generator":
            fooled = objective.generator(made) + objective.generator(drawn)
            terms = {"likeness": Term.mean(values["likeness"], scale=self.gamma), "adversarial": Term.mean(fooled)}
        else:
            fake = objective.fake(made) + objective.fake(drawn)
            terms = {"real": Term.mean(objective.real(real)), "fake": Term.mean(fake)}
        metrics = {} if turn == "encoder" else {"real_logit": real, "made_logit": made, "drawn_logit": drawn}
        kept = {name: new[name] if train and name == turn else old for name, old in state.items()}
        sums = {}
        if turn == "encoder" and self.classes:
            hot_BK = jax.nn.one_hot(batch["label"], self.classes)
            sums = {"sum": hot_BK.T @ jax.lax.stop_gradient(values["code"]), "count": hot_BK.sum(0)[:, None]}
        return LossOutput(terms, {name: Term.mean(value_B) for name, value_B in metrics.items()}, kept, sums=sums)

    def _play(self, params: Params, state: Tree, image: Array, key: Array, index_B: Array, train: bool):
        """({"kl", "likeness" (B,), "code" (B, Z)}, the logits of x, x' and x_p, the state of all players)."""
        mean, log_variance = self.posterior(params, image)
        z = mean + jnp.exp(0.5 * log_variance) * noise.normal(jax.random.fold_in(key, 0), index_B, (self.latent,))
        prior = noise.normal(jax.random.fold_in(key, 1), index_B, (self.latent,))
        made, new = self._generate(params, state, z, train)
        drawn, new = self._generate(params, new, prior, train)
        real_logit, real_features, new = self._judge(params, new, image, train)
        made_logit, made_features, new = self._judge(params, new, made, train)
        drawn_logit, _, new = self._judge(params, new, drawn, train)
        values = {
            "kl": 0.5 * jnp.sum(mean**2 + jnp.exp(log_variance) - 1.0 - log_variance, axis=-1),
            "likeness": 0.5 * jnp.sum((real_features - made_features) ** 2, axis=-1),
            "error": jnp.mean((image - made) ** 2, axis=(1, 2, 3)),
            "code": mean,
        }
        return values, (real_logit, made_logit, drawn_logit), new

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """The running sums of the codes of each class."""
        if not sums:
            return params, state
        return params, {**state, "codes": jax.tree.map(lambda old, new: MEMORY * old + new, state["codes"], sums)}

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """KL, the reconstructions' error in features and, as a mean square, in pixels; the mean logits."""
        values, judged, _ = self._play(params, state, images.images_of(batch), key, batch["index"], train=False)
        named = dict(zip(("real_logit", "made_logit", "drawn_logit"), judged))
        named |= {name: value for name, value in values.items() if name != "code"}
        terms = {name: Term.mean(value_B, valid_rows(batch)) for name, value_B in named.items()}
        for name in ("real_logit", "made_logit", "drawn_logit"):
            terms |= histogram(name, named[name], valid_rows(batch))
        return terms

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """The quantiles of the logits in place of their histograms."""
        return quantiles(metrics)

    # What it makes.

    def needs(self, options: VAEGANOptions) -> tuple[str, ...]:
        return () if options.mode == "prior" else ("image",)

    def check(self, options: VAEGANOptions) -> VAEGANOptions:
        asked = {"add": options.add, "subtract": options.subtract}
        asked = {name: label for name, label in asked.items() if label is not None}
        if options.mode != "arithmetic" and asked:
            raise UsageError(f"--{next(iter(asked))} belongs to --mode arithmetic")
        if options.mode == "arithmetic" and not asked:
            raise UsageError("--mode arithmetic: say which class to --add or to --subtract")
        if asked and not self.classes:
            raise UsageError("--mode arithmetic: this model's data has no labels, hence no attributes")
        for name, label in asked.items():
            if not 0 <= label < self.classes:
                raise UsageError(f"--{name} {label}: the classes of the data are 0 to {self.classes - 1}")
        return super().check(options)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": VAEGANOptions(), "reconstruct": VAEGANOptions(mode="reconstruct")}

    def layout(self, options: VAEGANOptions) -> Layout:
        """Of arithmetic: the image, its reconstruction, and what it becomes."""
        if options.mode != "arithmetic":
            return LAYOUTS[options.mode]
        return Layout(
            beside=("given.image" if options.subtract is None else "given.subject", "reconstruction", "image")
        )

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: VAEGANOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)} of z ~ N(0, temperature^2), or of the codes (means) of the conditions' `image`.

        Where they have images of the class to subtract, `subject`, it is those.
        """
        if options.mode == "prior":
            z = options.temperature * noise.normal(key, conditions["index"], (self.latent,))
            return {"image": self._generate(params, state, z, train=False)[0]}
        z, _ = self.posterior(params, conditions.get("subject", conditions["image"]))
        if options.mode == "interpolate":
            z, _ = interpolate(z, None)
        if options.mode != "arithmetic":
            return {"image": self._generate(params, state, z, train=False)[0]}
        mean_KZ = state["codes"]["sum"] / jnp.maximum(state["codes"]["count"], 1e-6)
        plus = 0.0 if options.add is None else mean_KZ[options.add]
        minus = 0.0 if options.subtract is None else mean_KZ[options.subtract]
        made, _ = self._generate(params, state, z + plus - minus, train=False)
        return {"image": made, "reconstruction": self._generate(params, state, z, train=False)[0]}
