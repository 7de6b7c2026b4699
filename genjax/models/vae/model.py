"""The VAE: its networks, its bounds, its codes.

All terms are in nats per example: summed over pixels and latents, averaged over the batch. Z stands for the
dimensions of the latent, (latent,) or (h, w, latent).
"""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.interop.autoencoder_kl import AUTOENCODER_KL
from genjax.models import images
from genjax.models.base import (
    Array,
    Batch,
    Layout,
    LossOutput,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_turn,
    valid_rows,
)
from genjax.models.vae.judged import Judged
from genjax.models.vae.likelihood import (
    Binarization,
    Decoder,
    Likelihood,
    as_seen,
    log_probability,
    mean_of,
    target_of,
)
from genjax.models.vae.sample import LAYOUTS, VAEOptions, sample
from genjax.networks.autoencoder import AutoencoderConfig, ConvAutoencoder
from genjax.nn import noise
from genjax.nn.apply import init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Latent

__all__ = ["LOG_VARIANCE", "VAE"]

LOG_VARIANCE = (-30.0, 20.0)  # the range of log variances, as in the code of latent diffusion: exp() stays finite


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(Judged):
    """Gaussian posterior and prior; entries "encoder" and "decoder", the turn "elbo".

    The images of a batch, in [-1, 1], become x = (image + 1) / 2 in [0, 1] for the Bernoulli likelihood:
    "dynamic" draws a binary x anew at each step (Burda et al. 2015, arXiv:1509.00519), "static" thresholds at 1/2,
    "none" takes grey values as probabilities, as the original paper does. "gaussian" has one learned standard
    deviation for all pixels (Rybkin et al. 2020, arXiv:2006.13202); "mse" is a Gaussian with sigma = 1 without its
    constant, so that its ELBO is known up to H W C log(2 pi) / 2; "l1" is a Laplace distribution with b = 1, likewise.

    The network SpatialAutoencoder, whose latent keeps the picture's layout, makes it the KL autoencoder of latent
    diffusion (Rombach et al. 2022, arXiv:2112.10752), with a very small beta: a first stage. The layers are the
    paper's, and so is the loss with "l1" and the terms of `Judged`, for sharp reconstructions.
    """

    network: AutoencoderConfig = ConvAutoencoder()  # noqa: RUF009, frozen
    latent: int = 16  # dimensions of z, or its channels where it has a layout
    likelihood: Likelihood = "bernoulli"  # p(x | z), as told above
    binarization: Binarization = "none"  # of the images, for the Bernoulli likelihood
    beta: float = 1.0  # weight of the KL term (Higgins et al. 2017)
    kl_warmup_steps: int = 0  # step at which beta is reached, in a line from 0 at step 0 (Sonderby et al. 2016)
    conditional: bool | None = False  # p(x | z, label), q(z | x, label) (Sohn et al. 2015); None = if there are labels
    iwae_samples: int = 16  # K of the importance-weighted bound in validation
    image_shape: tuple[int, int, int] | None = None  # None = of the data
    classes: int | None = None  # None = of the data; used when conditional

    Options: ClassVar = VAEOptions
    measured: ClassVar = ("iwae_samples",)
    families: ClassVar = (AUTOENCODER_KL,)

    def __post_init__(self):
        if min(self.latent, self.iwae_samples) < 1:
            raise UsageError("VAE: latent and iwae_samples must be positive")
        if not 0 <= self.beta < math.inf:
            raise UsageError(f"VAE: beta is {self.beta}, must be 0 or a positive number")
        if min(self.kl_warmup_steps, self.classes or 0) < 0:
            raise UsageError("VAE: kl_warmup_steps and classes must not be negative")
        if self.likelihood == "bernoulli" and (self.perceptual or self.adversarial):
            raise UsageError("VAE: pictures are judged, not logits: take --model.likelihood l1, mse or gaussian")

    @property
    def best(self) -> tuple[str, str]:
        """The ELBO where it is what is trained. With another beta the best ELBO is not the best model.

        Of judged reconstructions it is the distance in layers: the likelihood of pixels prefers the blurred.
        """
        if self.perceptual:
            return ("perceptual", "min")
        return ("elbo", "max") if self.beta == 1.0 else ("loss", "min")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("elbo", trains=("encoder", "decoder")), *self.judges_turns)

    @property
    def last(self) -> tuple[str, ...]:
        return ("network", *self.network.last_kernel)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": VAEOptions(), "reconstruct": VAEOptions(mode="reconstruct")}

    def expects(self) -> dict[str, Field]:
        return images.expected_fields(self)

    def resolve(self, spec: DataSpec) -> "VAE":
        resolved = images.with_fields(self, spec)
        resolved.network.latent_shape(resolved.image_shape, self.latent)  # refuses sizes that do not fit
        resolved.check_judges(resolved.image_shape)
        return resolved

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(latent,) or (h, w, latent), of a resolved model."""
        return self.network.latent_shape(self.image_shape, self.latent)

    def networks(self) -> dict[str, nn.Module]:
        classes = self.classes or 0
        decoder = self.network.decoder(self.image_shape, classes, self.dtype)
        return {
            "encoder": self.network.encoder(2 * self.latent, classes, self.dtype),
            "decoder": Decoder(decoder, gaussian=self.likelihood == "gaussian"),
            **self.judges(),
        }

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {"encoder": (1, *self.image_shape), "decoder": (1, *self.latent_shape)}
        params, _ = init_networks(
            self.networks(), {name: (jnp.zeros(shape), label) for name, shape in inputs.items()}, key
        )
        judges, state = self.init_judges(jax.random.fold_in(key, 1), self.image_shape)
        return params | judges, state

    # The two distributions.

    def posterior(self, params: Params, seen_BHWC: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """(B, *latent_shape) mean and log variance of q(z | x), float32. The image is what `seen` returns."""
        features = self.networks()["encoder"].apply({"params": params["encoder"]}, seen_BHWC, label_B)
        mean, log_var = jnp.split(features.astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_var, *LOG_VARIANCE)

    def pixels(self, params: Params, z_BZ: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """The parameters of p(x | z), for z (B, *latent_shape): see `Decoder`."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, z_BZ, label_B)

    def mean_image(self, params: Params, z_BZ: Array, label_B: Array | None = None) -> Array:
        """(B, H, W, C) in [-1, 1]: the mean of p(x | z)."""
        return mean_of(self.likelihood, self.pixels(params, z_BZ, label_B)[0])

    def target(self, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        """The x of p(x | z), binarized where the model binarizes, with noise of the example's own."""
        return target_of(self.likelihood, self.binarization, image_BHWC, key, index_B)

    def seen(self, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        """The image in [-1, 1] as the encoder sees it: that of `target`."""
        return as_seen(self.likelihood, self.target(image_BHWC, key, index_B))

    # How it learns.

    def drawn(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Array, Array, Array]:
        """x, one z ~ q(z | x), KL(q || p) (B,) and log p(z) - log q(z | x) (B,)."""
        x_key, z_key = jax.random.split(key)
        image, label, index = images.images_of(batch), images.label_of(self, batch), batch["index"]
        target = self.target(image, x_key, index)
        mean, log_var = self.posterior(params, as_seen(self.likelihood, target), label)
        eps = noise.normal(z_key, index, self.latent_shape)
        z = mean + jnp.exp(0.5 * log_var) * eps
        axes = tuple(range(1, z.ndim))
        kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1.0 - log_var, axis=axes)  # appendix B of the paper
        log_ratio = 0.5 * jnp.sum(jnp.square(eps) + log_var - jnp.square(z), axis=axes)  # log p(z) - log q(z | x)
        return target, z, kl, log_ratio

    def elbo(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Array, Array]:
        """(log p(x | z), KL(q || p), importance weight log p(x, z) - log q(z | x)), each (B,), for one z ~ q."""
        target, z, kl, log_ratio = self.drawn(params, batch, key)
        log_likelihood = log_probability(self.likelihood, target, *self.pixels(params, z, images.label_of(self, batch)))
        return log_likelihood, kl, log_likelihood + log_ratio

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """-log p(x | z) + beta KL: equation 10 of the paper with one sample of z.

        The term "reconstruction" is the first summand, the metric of that name its negative: log p(x | z). With the
        terms of `Judged` it is equation 25 of latent diffusion; its code counts the distance in layers for every pixel
        value, as here.
        """
        require_turn(self, turn)
        label, (target, z, kl, _) = images.label_of(self, batch), self.drawn(params, batch, key)
        made, log_sigma = self.pixels(params, z, label)
        if turn == "discriminate":
            return self.discriminate(params, state, target, made, train=train)

        def errors(made: Array) -> dict[str, Term]:
            log_likelihood = log_probability(self.likelihood, target, made, log_sigma)
            perceived = self.perceived(params, target, made, scale=math.prod(self.image_shape))
            return {"reconstruction": Term.mean(-log_likelihood)} | perceived

        def redraw(decoder: Tree) -> Array:
            return self.pixels({"decoder": decoder}, jax.lax.stop_gradient(z), label)[0]

        warmup = jnp.minimum(1.0, step / self.kl_warmup_steps) if self.kl_warmup_steps else 1.0
        terms, sums = errors(made) | {"kl": Term.mean(kl, scale=self.beta * warmup)}, {}
        log_likelihood = log_probability(self.likelihood, target, made, log_sigma)
        metrics = {"elbo": log_likelihood - kl, "reconstruction": log_likelihood, "kl": kl}
        metrics = {name: Term.mean(value_B) for name, value_B in metrics.items()}
        if self.adversarial:
            more, logged, sums = self.deceive(params, state, made, errors, redraw, step=step, train=train)
            terms, metrics = terms | more, metrics | logged
        return LossOutput(terms, metrics, state, sums=sums)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        return params, self.weighed(state, sums)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """ELBO and its terms from one z an example, and -log p(x) by the bound of K = `iwae_samples` z's.

        The importance-weighted bound is equation 8 of Burda et al. 2015; its name carries K. Where beta is not 1,
        `loss` is what is trained, without the warm-up.
        """
        # One binarization, drawn here, for all K draws of z: what is left of it then has nothing to binarize.
        seen = self.seen(images.images_of(batch), key, batch["index"])
        fixed = dataclasses.replace(self, binarization="none")
        keys = jax.random.split(key, self.iwae_samples)
        log_likelihood, kl, log_weight = jax.lax.map(lambda k: fixed.elbo(params, batch | {"image": seen}, k), keys)
        bound = jax.nn.logsumexp(log_weight, axis=0) - math.log(self.iwae_samples)
        values = {
            "elbo": log_likelihood[0] - kl[0],
            "reconstruction": log_likelihood[0],
            "kl": kl[0],
            f"nll_iwae{self.iwae_samples}": -bound,
        }
        if self.beta != 1.0:
            values["loss"] = self.beta * kl[0] - log_likelihood[0]
        metrics = {name: Term.mean(value_B, valid_rows(batch)) for name, value_B in values.items()}
        if self.perceptual:
            made = self.decode(params, state, self.encode(params, state, batch, key)[..., : self.latent], batch)
            metrics |= self.perceived(params, seen, made, valid_rows(batch))
        return metrics

    # What it makes.

    def needs(self, options: VAEOptions) -> tuple[str, ...]:
        if options.mode == "prior":
            return ()
        return ("image", "label") if self.conditional else ("image",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def layout(self, options: VAEOptions) -> Layout:
        return LAYOUTS[options.mode]

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: VAEOptions
    ) -> dict[str, Array]:
        """Means of p(x | z). `conditions` holds `label` if conditional, and `image` unless the mode is "prior".

        In rows of eight, an interpolation leads from the example of the row's number to another.
        """
        return {"image": sample(self, params, key, conditions, options)}

    # A first stage.

    @property
    def code(self) -> Latent | None:
        """Latents (h, w, latent), where z keeps the picture's layout."""
        if len(self.latent_shape) != 3:
            return None
        return Latent(*self.latent_shape, std=1.0, image=Image(*self.image_shape))

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """(B, h, w, 2 latent) float32: mean and log variance of q(z | x), binarized with `key` where the model does."""
        seen = self.seen(images.images_of(batch), key, batch["index"])
        return jnp.concatenate(self.posterior(params, seen, images.label_of(self, batch)), axis=-1)

    def decode(self, params: Params, state: Tree, code: Array, batch: Batch) -> Array:
        """(B, H, W, C) in [-1, 1] for z (B, h, w, latent): the mean of p(x | z)."""
        return self.mean_image(params, code, images.label_of(self, batch))
