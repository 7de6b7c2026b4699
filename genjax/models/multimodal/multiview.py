"""VAEs of several views: MVAE (Wu & Goodman 2018, arXiv:1802.05335), MMVAE (Shi et al. 2019, arXiv:1911.03393) and
MoPoE (Sutter et al. 2021, arXiv:2105.02470), which differ in how the views' posteriors become one.

All values are in nats an example. M views, S subsets of them, K draws, Z latents.
"""

import dataclasses
import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
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
from genjax.models.multimodal.experts import log_density, product, subsets
from genjax.models.multimodal.multiview_loss import BOUNDS
from genjax.models.multimodal.views import canvas, drawn, is_view, log_likelihood, present, seen
from genjax.models.vae.likelihood import Decoder
from genjax.models.vae.model import LOG_VARIANCE
from genjax.networks.autoencoder import AutoencoderConfig, ConvAutoencoder, DenseAutoencoder
from genjax.nn import noise
from genjax.nn.apply import init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Label, Tokens

__all__ = ["Multiview", "MultiviewOptions"]


@dataclasses.dataclass(frozen=True)
class MultiviewOptions(SampleOptions):
    """From any views to any views."""

    given: tuple[str, ...] = ()  # views of validation examples that samples belong to; () = draw from the prior
    sample: tuple[str, ...] = ()  # views that a sheet shows; () = all others


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiview(Model):
    """Entries "encoder_NAME" and "decoder_NAME" of every view, one turn "elbo".

    A view is a field of the data: an image, a text, a label or numbers. Rows may lack views (NAME_present): a row's
    bounds are of those that it has. Readers leave out rows that lack a text. The posterior of a subset A of views is

      poe: the product of its experts and of the prior. The loss sums the bounds of all views, of each alone, and of one
        subset that is drawn, each of the likelihood of its own views (Wu & Goodman, section 2.2).
      moe: the mixture of its experts. Drawn from each in turn, with `samples` K > 1 by the importance-weighted bound
        with the doubly reparametrized gradient (Shi et al., section 3).
      mopoe: the mixture of the products of its subsets, whose divergence is bounded by the subsets' mean (Sutter et
        al., section 3).
    """

    posterior: Literal["poe", "moe", "mopoe"] = "mopoe"
    views: tuple[str, ...] = ()  # fields of the data; () = all that can be one
    latent: int = 16  # dimensions of z
    beta: float = 1.0  # weight of the divergence
    rescale: bool = True  # the loss weighs likelihoods as if all views had as many numbers as the largest
    samples: int = 1  # K draws of each expert in training, for moe
    iwae_samples: int = 16  # draws of the bound on log p(all views) in validation
    network: AutoencoderConfig = ConvAutoencoder()  # noqa: RUF009, frozen; of images
    widths: tuple[int, ...] = (256,)  # hidden layers for views that are no images
    kinds: dict[str, Field] = dataclasses.field(default_factory=dict, hash=False)  # of the views; {} = of the data

    Options: ClassVar = MultiviewOptions
    measured: ClassVar = ("iwae_samples",)

    def __post_init__(self):
        if min(self.latent, self.samples, self.iwae_samples) < 1:
            raise UsageError("Multiview: latent, samples and iwae_samples must be positive")
        if not 0 <= self.beta < math.inf:
            raise UsageError(f"Multiview: beta is {self.beta}, must be 0 or a positive number")
        if self.samples > 1 and self.posterior != "moe":
            raise UsageError(f"--model.samples {self.samples}: several draws are those of --model.posterior moe")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("elbo", trains=tuple(f"{part}_{name}" for part in ("encoder", "decoder") for name in self.kinds)),)

    def expects(self) -> dict[str, Field]:
        return dict(self.kinds)

    def resolve(self, spec: DataSpec) -> "Multiview":
        names = self.views or tuple(name for name, field in spec.fields.items() if is_view(field))
        if missing := [name for name in names if name not in spec.fields]:
            raise UserError(f"--model.views {missing[0]}: this data has {', '.join(spec.fields)}")
        if len(names) < 2:
            raise UserError(f"Multiview needs two views or more, and the data has {', '.join(names) or 'none'}")
        if others := [name for name in names if not is_view(spec.fields[name])]:
            raise UserError(
                f"--model.views {others[0]}: {spec.fields[others[0]].describe()} can be no view: images, texts, labels "
                "and numbers can"
            )
        kinds = {name: spec.fields[name] for name in names}
        if self.kinds and self.kinds != kinds:
            raise UserError("model.kinds differ from the data's fields: leave model.kinds out")
        return dataclasses.replace(self, views=names, kinds=kinds)

    def networks(self) -> dict[str, nn.Module]:
        made = {}
        for name, field in self.kinds.items():
            config = self.network if isinstance(field, Image) else DenseAutoencoder(self.widths)
            made[f"encoder_{name}"] = config.encoder(2 * self.latent, 0, self.dtype)
            decoder = config.decoder(canvas(field), 0, self.dtype)
            made[f"decoder_{name}"] = Decoder(decoder, gaussian=not isinstance(field, Tokens | Label))
        return made

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        inputs = {}
        for name, field in self.kinds.items():
            inputs[f"encoder_{name}"] = (jnp.zeros((1, *canvas(field))),)
            inputs[f"decoder_{name}"] = (jnp.zeros((1, self.latent)),)
        return init_networks(self.networks(), inputs, key)

    # The distributions.

    def experts(self, params: Params, batch: Batch, names: tuple[str, ...]) -> tuple[Array, Array, Array]:
        """(M, B, Z) means and log variances of q(z | view), and (M, B) float32: 1 for the views that a row has."""
        outs, there = [], []
        for name in names:
            view = seen(name, self.kinds[name], batch)
            outs.append(self.networks()[f"encoder_{name}"].apply({"params": params[f"encoder_{name}"]}, view))
            there.append(present(name, self.kinds[name], batch))
        mean, log_var = jnp.split(jnp.stack(outs).astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_var, *LOG_VARIANCE), jnp.stack(there).astype(jnp.float32)

    def posterior_of(self, params: Params, batch: Batch, names: tuple[str, ...]) -> tuple[Array, Array, Array]:
        """q(z | these views) as a mixture: (S, B, Z) means and log variances, (S, B) weights that sum to 1.

        A row that has none of the views gets the prior.
        """
        mean_MBZ, log_var_MBZ, there_MB = self.experts(params, batch, names)
        every = {"poe": [len(names)], "moe": [1], "mopoe": range(1, len(names) + 1)}[self.posterior]
        parts, weights = [], []
        for chosen_M in subsets(len(names), every):
            weight_MB = chosen_M[:, None] * there_MB
            parts.append(product(mean_MBZ, log_var_MBZ, weight_MB, prior=self.posterior == "poe"))
            whole_B = weight_MB.sum(0) == chosen_M.sum()  # the row has all views of the subset
            weights.append(jnp.ones_like(there_MB[0]) if self.posterior == "poe" else whole_B.astype(jnp.float32))
        weight_SB = jnp.stack(weights)
        lost_B = weight_SB.sum(0) == 0
        weight_SB = jnp.where(lost_B, 1.0, weight_SB) / jnp.where(lost_B, len(parts), jnp.maximum(weight_SB.sum(0), 1))
        mean_SBZ, log_var_SBZ = (jnp.where(lost_B[:, None], 0.0, jnp.stack(part)) for part in zip(*parts))
        return mean_SBZ, log_var_SBZ, weight_SB

    def draw(self, key: Array, index_B: Array, posterior: tuple[Array, Array, Array]) -> Array:
        """(B, Z) from a mixture as `posterior_of` gives it."""
        mean_SBZ, log_var_SBZ, weight_SB = posterior
        component_key, z_key = jax.random.split(key)
        chance_B = noise.uniform(component_key, index_B)
        s_B = jnp.minimum((jnp.cumsum(weight_SB, axis=0) <= chance_B).sum(0), len(weight_SB) - 1)
        mean_BZ, log_var_BZ = (jnp.take_along_axis(x, s_B[None, :, None], 0)[0] for x in (mean_SBZ, log_var_SBZ))
        return mean_BZ + jnp.exp(0.5 * log_var_BZ) * noise.normal(z_key, index_B, (self.latent,))

    def decoded(self, params: Params, name: str, z_BZ: Array) -> tuple[Array, Array]:
        """The parameters of p(view | z): (B, *canvas) outputs and () log sigma."""
        return self.networks()[f"decoder_{name}"].apply({"params": params[f"decoder_{name}"]}, z_BZ)

    def likelihoods(self, params: Params, batch: Batch, z_BZ: Array) -> Array:
        """(M, B) log p(view | z); 0 for a view that the row lacks."""
        return jnp.stack(
            [
                present(name, field, batch)
                * log_likelihood(field, seen(name, field, batch), self.decoded(params, name, z_BZ))
                for name, field in self.kinds.items()
            ]
        )

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Minus the bound of the chosen posterior, with the views' likelihoods weighed; `elbo` is without weights."""
        require_turn(self, turn)
        loss_B, metrics = BOUNDS[self.posterior](self, params, batch, key)
        metrics = {name: Term.mean(value_B) for name, value_B in metrics.items()}
        return LossOutput({"elbo": Term.mean(loss_B)}, metrics, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """The loss; a bound on -log p(all views) by `iwae_samples` draws; how often one view says what another is.

        `WORD_from_IMAGE`: the share of rows whose whole text, or label, is decoded rightly from the mean of q(z | the
        other view). It is a coherence that needs no classifier.
        """
        valid_B, index = valid_rows(batch), batch["index"]
        loss_B, metrics = BOUNDS[self.posterior](self, params, batch, key)
        posterior = self.posterior_of(params, batch, self.views)

        def log_weight(own_key: Array) -> Array:
            z_BZ = self.draw(own_key, index, posterior)
            mean_SBZ, log_var_SBZ, weight_SB = posterior
            log_q_B = jax.nn.logsumexp(log_density(z_BZ, mean_SBZ, log_var_SBZ), axis=0, b=weight_SB)
            prior_B = log_density(z_BZ, jnp.zeros_like(z_BZ), jnp.zeros_like(z_BZ))
            return self.likelihoods(params, batch, z_BZ).sum(0) + prior_B - log_q_B

        log_weight_KB = jax.lax.map(log_weight, jax.random.split(key, self.iwae_samples))
        bound_B = jax.nn.logsumexp(log_weight_KB, axis=0) - math.log(self.iwae_samples)
        values = {"loss": loss_B, **metrics, f"nll_iwae{self.iwae_samples}": -bound_B}
        terms = {name: Term.mean(value_B, valid_B) for name, value_B in values.items()}
        for given in self.views:
            mean_SBZ, *_ = self.posterior_of(params, batch, (given,))
            for name in self.views:
                if name == given or not isinstance(field := self.kinds[name], Tokens | Label):
                    continue
                said = self.decoded(params, name, mean_SBZ[0])[0].argmax(2)
                right_B = (said == seen(name, field, batch).argmax(2)).all((1, 2))
                both_B = present(name, field, batch) & present(given, self.kinds[given], batch)
                terms[f"{name}_from_{given}"] = Term.mean(right_B.astype(jnp.float32), valid_B * both_B)
        return terms

    # What it makes.

    def check(self, options: MultiviewOptions) -> MultiviewOptions:
        for flag, names in (("--given", options.given), ("--sample", options.sample)):
            if len(set(names)) < len(names):
                raise UsageError(f"{flag} {' '.join(names)}: each view once")
            if unknown := [name for name in names if name not in self.views]:
                raise UsageError(f"{flag} {unknown[0]}: this model was trained on the views {', '.join(self.views)}")
        others = tuple(name for name in self.views if name not in options.given)
        return dataclasses.replace(options, sample=options.sample or others or self.views)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": MultiviewOptions()} | {f"from-{name}": MultiviewOptions(given=(name,)) for name in self.views}

    def needs(self, options: MultiviewOptions) -> tuple[str, ...]:
        return options.given

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {name: dataclasses.replace(field, optional=False) for name, field in self.kinds.items()}

    def layout(self, options: MultiviewOptions) -> Layout:
        return Layout(beside=(*(f"given.{name}" for name in options.given), *self.check(options).sample))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: MultiviewOptions
    ) -> dict[str, Array]:
        """Means of pictures and numbers, the likeliest texts and labels, of z from q(z | given views) or the prior."""
        options, index = self.check(options), conditions["index"]
        if options.given:
            z_NZ = self.draw(key, index, self.posterior_of(params, conditions, options.given))
        else:
            z_NZ = noise.normal(key, index, (self.latent,))
        made = {}
        for name, field in self.kinds.items():
            made |= drawn(name, field, self.decoded(params, name, z_NZ)[0])
        return made
