"""Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114): beta-VAE, conditional VAE, KL autoencoder.

All terms are in nats per example: summed over pixels and latents, averaged over the batch. Z stands for the
dimensions of the latent, (latent,) or (h, w, latent).
"""

import dataclasses
import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.models.base import (
    ROW,
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
from genjax.networks import autoencoder
from genjax.networks.spatial_autoencoder import SpatialDecoder, SpatialEncoder
from genjax.nn import noise
from genjax.spec import DataSpec

LOG_VARIANCE = (-30.0, 20.0)  # the range of log variances, as in the code of latent diffusion: exp() stays finite


class Decoder(nn.Module):
    """p(x | z): the network's output, and for a Gaussian likelihood one learned log standard deviation for all."""

    network: nn.Module
    gaussian: bool

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """(B, H, W, C) float32 logits (Bernoulli) or means, and () log sigma (0 unless Gaussian)."""
        log_sigma = self.param("log_sigma", nn.initializers.zeros, ()) if self.gaussian else jnp.zeros(())
        return self.network(z_BZ, label_B).astype(jnp.float32), log_sigma


@dataclasses.dataclass(frozen=True)
class VAEOptions(LabelOptions):
    """prior: decode z ~ N(0, I). reconstruct: validation images, each followed by its reconstruction.
    interpolate: each row of eight leads from one validation image to another."""

    mode: Literal["prior", "reconstruct", "interpolate"] = "prior"
    temperature: float = 1.0  # scales the standard deviation of the prior

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature}: must be 0 or a positive number")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(Model):
    """Gaussian posterior and prior; entries "encoder" and "decoder", one turn "elbo".

    The images of a batch, in [-1, 1], become x = (image + 1) / 2 in [0, 1] for the Bernoulli likelihood:
    "dynamic" draws a binary x anew at each step (Burda et al. 2015, arXiv:1509.00519), "static" thresholds at 1/2,
    "none" takes grey values as probabilities, as the original paper does. "gaussian" has one learned standard
    deviation for all pixels (Rybkin et al. 2020, arXiv:2006.13202); "mse" is a Gaussian with sigma = 1 without its
    constant, so that its ELBO is known up to H W C log(2 pi) / 2.

    network "spatial" is the KL autoencoder of latent diffusion (Rombach et al. 2022, arXiv:2112.10752), a latent that
    keeps the picture's layout: (H / f, W / f, latent) with f = 2 ** (levels - 1), and a very small beta. The layers
    are the paper's. The loss is this file's: the perceptual and the adversarial term, which the paper adds for sharp
    reconstructions, are not there.
    """

    network: Literal["dense", "conv", "spatial"] = "conv"
    widths: tuple[int, ...] = (32, 64)  # conv: each halves the resolution; dense: hidden layers; spatial: one a level
    blocks: int = 2  # spatial: residual blocks a level
    latent: int = 16  # spatial: channels of the grid
    likelihood: Literal["bernoulli", "gaussian", "mse"] = "bernoulli"
    binarization: Literal["dynamic", "static", "none"] = "none"
    beta: float = 1.0  # weight of the KL term (Higgins et al. 2017)
    kl_warmup_steps: int = 0  # steps over which beta grows from 0 (Sonderby et al. 2016, arXiv:1602.02282)
    conditional: bool | None = False  # p(x | z, label), q(z | x, label) (Sohn et al. 2015); None = if there are labels
    iwae_samples: int = 16  # K of the importance-weighted bound in validation
    image_shape: tuple[int, int, int] | None = None
    classes: int | None = None

    Options: ClassVar = VAEOptions
    measured: ClassVar = ("iwae_samples",)

    def __post_init__(self):
        if min(self.latent, self.blocks, self.iwae_samples, *self.widths) < 1 or not self.widths:
            raise UsageError("VAE: latent, blocks, iwae_samples and all widths must be positive")
        if not 0 <= self.beta < math.inf:
            raise UsageError(f"VAE: beta is {self.beta}, must be 0 or a positive number")
        if min(self.kl_warmup_steps, self.classes or 0) < 0:
            raise UsageError("VAE: kl_warmup_steps and classes must not be negative")

    @property
    def best(self) -> tuple[str, str]:
        """The ELBO where it is what is trained. With another beta the best ELBO is not the best model."""
        return ("elbo", "max") if self.beta == 1.0 else ("loss", "min")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("elbo", trains=("encoder", "decoder")),)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": VAEOptions(), "reconstruct": VAEOptions(mode="reconstruct")}

    def resolve(self, spec: DataSpec) -> "VAE":
        shape = require(spec, "image_shape", "VAE")
        conditional = bool(spec.classes) if self.conditional is None else self.conditional
        classes = require(spec, "classes", "a conditional VAE") if conditional else 0
        require_agreement(self, image_shape=shape, **({"classes": classes} if conditional else {}))
        if self.network == "spatial" and any(side % self.downsampling for side in shape[:2]):
            raise UserError(
                f"{len(self.widths)} levels divide the image's sides by {self.downsampling}, which does not go into "
                f"{shape[0]}x{shape[1]}: set --data.image-size, or give another number of --model.widths"
            )
        return dataclasses.replace(self, image_shape=shape, conditional=conditional, classes=classes)

    @property
    def downsampling(self) -> int:
        """How many times smaller a side of the spatial latent is than the image's."""
        return 2 ** (len(self.widths) - 1)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(latent,), or (h, w, latent) of a resolved spatial autoencoder."""
        if self.network != "spatial":
            return (self.latent,)
        height, width, _ = self.image_shape
        return (height // self.downsampling, width // self.downsampling, self.latent)

    def networks(self) -> dict[str, nn.Module]:
        classes, features = self.classes or 0, 2 * self.latent
        if self.network == "spatial":
            channels = self.image_shape[-1]
            encoder = SpatialEncoder(self.widths, features, self.blocks, classes, self.dtype)
            decoder = SpatialDecoder(self.widths, channels, self.blocks, classes, self.dtype)
        elif self.network == "conv":
            encoder = autoencoder.ConvEncoder(self.widths, features, classes, self.dtype)
            decoder = autoencoder.ConvDecoder(self.widths, self.image_shape, classes, self.dtype)
        else:
            encoder = autoencoder.DenseEncoder(self.widths, features, classes, self.dtype)
            decoder = autoencoder.DenseDecoder(self.widths, self.image_shape, classes, self.dtype)
        return {"encoder": encoder, "decoder": Decoder(decoder, gaussian=self.likelihood == "gaussian")}

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        networks = self.networks()
        keys = jax.random.split(key)
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {"encoder": jnp.zeros((1, *self.image_shape)), "decoder": jnp.zeros((1, *self.latent_shape))}
        params = {entry: networks[entry].init(k, inputs[entry], label)["params"] for entry, k in zip(inputs, keys)}
        return params, {}

    def encode(self, params: Params, image_BHWC: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """(B, *latent_shape) mean and log variance of q(z | x), float32. The image is what `seen` returns."""
        features = self.networks()["encoder"].apply({"params": params["encoder"]}, image_BHWC, label_B)
        mean, log_var = jnp.split(features.astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_var, *LOG_VARIANCE)

    def decode(self, params: Params, z_BZ: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """Parameters of p(x | z), for z (B, *latent_shape): see `Decoder`."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, z_BZ, label_B)

    def decoded_image(self, params: Params, z_BZ: Array, label_B: Array | None = None) -> Array:
        """(B, H, W, C) in [-1, 1]: the mean of p(x | z)."""
        output, _ = self.decode(params, z_BZ, label_B)
        return self._input(jax.nn.sigmoid(output)) if self.likelihood == "bernoulli" else jnp.clip(output, -1, 1)

    def seen(self, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        """The image as the encoder sees it: binarized where the model binarizes, with noise of the example's own."""
        return self._input(self._target(image_BHWC, key, index_B))

    def elbo(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Array, Array]:
        """(log p(x | z), KL(q || p), importance weight log p(x, z) - log q(z | x)), each (B,), for one z ~ q."""
        x_key, z_key = jax.random.split(key)
        image, label, index = batch["image"], self._label(batch), batch["index"]
        target = self._target(image, x_key, index)
        mean, log_var = self.encode(params, self._input(target), label)
        eps = noise.normal(z_key, index, self.latent_shape)
        z = mean + jnp.exp(0.5 * log_var) * eps
        log_likelihood = self.log_likelihood(target, *self.decode(params, z, label))
        axes = tuple(range(1, z.ndim))
        kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1.0 - log_var, axis=axes)  # appendix B of the paper
        log_ratio = 0.5 * jnp.sum(jnp.square(eps) + log_var - jnp.square(z), axis=axes)  # log p(z) - log q(z | x)
        return log_likelihood, kl, log_likelihood + log_ratio

    def log_likelihood(self, target_BHWC: Array, output_BHWC: Array, log_sigma: Array) -> Array:
        """(B,) log p(x | z) in nats, summed over pixels."""
        if self.likelihood == "bernoulli":
            per_pixel = target_BHWC * output_BHWC - jax.nn.softplus(output_BHWC)
        else:
            per_pixel = -0.5 * jnp.square((target_BHWC - output_BHWC) * jnp.exp(-log_sigma))
            if self.likelihood == "gaussian":
                per_pixel -= log_sigma + 0.5 * math.log(2 * math.pi)
        return per_pixel.sum(axis=(1, 2, 3))

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """-(log p(x | z) - beta KL): equation 10 of the paper with one sample of z."""
        log_likelihood, kl, _ = self.elbo(params, batch, key)
        warmup = jnp.minimum(1.0, (step + 1) / self.kl_warmup_steps) if self.kl_warmup_steps else 1.0
        metrics = {
            "elbo": jnp.mean(log_likelihood - kl),
            "reconstruction": jnp.mean(log_likelihood),
            "kl": jnp.mean(kl),
        }
        loss = jnp.mean(self.beta * warmup * kl - log_likelihood)
        return LossOutput(loss, jnp.float32(kl.shape[0]), metrics, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, tuple[Array, Array]]:
        """ELBO and its terms from one z an example, and -log p(x) by the bound of K = `iwae_samples` z's.

        The importance-weighted bound is equation 8 of Burda et al. 2015; its name carries K. Where beta is not 1,
        `loss` is what is trained, without the warm-up.
        """
        # One binarization, drawn here, for all K draws of z: what is left of it then has nothing to binarize.
        target = self._target(batch["image"], key, batch["index"])
        batch = batch | {"image": self._input(target)}
        fixed = dataclasses.replace(self, binarization="none")
        keys = jax.random.split(key, self.iwae_samples)
        log_likelihood, kl, log_weight = jax.lax.map(lambda k: fixed.elbo(params, batch, k), keys)
        bound = jax.nn.logsumexp(log_weight, axis=0) - math.log(self.iwae_samples)
        valid = valid_rows(batch)
        values = {
            "elbo": log_likelihood[0] - kl[0],
            "reconstruction": log_likelihood[0],
            "kl": kl[0],
            f"nll_iwae{self.iwae_samples}": -bound,
        }
        if self.beta != 1.0:
            values["loss"] = self.beta * kl[0] - log_likelihood[0]
        return {name: (jnp.sum(value * valid), jnp.sum(valid)) for name, value in values.items()}

    def needs_data(self, options: VAEOptions) -> bool:
        return options.mode != "prior"

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: VAEOptions
    ) -> dict[str, Array]:
        """Means of p(x | z), in rows of eight `columns` unless the mode is "prior".

        `conditions` holds `label` if conditional, `image` unless the mode is "prior".
        """
        index, label = conditions["index"], self._label(conditions)
        if options.mode == "prior":
            z = options.temperature * noise.normal(key, index, self.latent_shape)
            return {"image": self.decoded_image(params, z, label)}
        image = conditions["image"]
        z, _ = self.encode(params, self.seen(image, key, index), label)
        if options.mode == "interpolate":
            shown = self.interpolate(params, z, label)
        else:
            pairs = jnp.stack([image, self.decoded_image(params, z, label)], axis=1)
            shown = pairs.reshape(-1, *self.image_shape)[: image.shape[0]]
        return {"image": shown, "columns": jnp.full(index.shape, ROW)}

    def interpolate(self, params: Params, z_BZ: Array, label_B: Array | None, steps: int = ROW) -> Array:
        """(B, H, W, C): each `steps` images lie on the straight line from one z to another."""
        rows = -(-z_BZ.shape[0] // steps)
        start, end = z_BZ[:rows], jnp.roll(z_BZ, -rows, axis=0)[:rows]
        t = jnp.linspace(0.0, 1.0, steps).reshape(1, steps, *[1] * len(self.latent_shape))
        z = ((1 - t) * start[:, None] + t * end[:, None]).reshape(-1, *self.latent_shape)[: z_BZ.shape[0]]
        label = None if label_B is None else jnp.repeat(label_B[:rows], steps)[: z_BZ.shape[0]]
        return self.decoded_image(params, z, label)

    def _label(self, batch: Batch) -> Array | None:
        return batch["label"] if self.conditional else None

    def _target(self, image_BHWC: Array, key: Array, index_B: Array) -> Array:
        """What the likelihood models: [0, 1] or {0, 1} for Bernoulli, the image itself otherwise."""
        if self.likelihood != "bernoulli":
            return image_BHWC
        x = jnp.clip((image_BHWC + 1) / 2, 0.0, 1.0)
        if self.binarization == "dynamic":
            return (noise.uniform(key, index_B, x.shape[1:]) < x).astype(jnp.float32)
        return (x > 0.5).astype(jnp.float32) if self.binarization == "static" else x

    def _input(self, target_BHWC: Array) -> Array:
        """What the encoder sees, in [-1, 1]."""
        return 2 * target_BHWC - 1 if self.likelihood == "bernoulli" else target_BHWC
