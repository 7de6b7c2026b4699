"""Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114), beta-VAE and conditional VAE.

All terms are in nats per example: summed over pixels, averaged over the batch.
"""

import dataclasses
import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import (
    Array,
    Batch,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Tree,
    Turn,
    require,
    valid_rows,
)
from genjax.nn import autoencoder, noise
from genjax.spec import DataSpec


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
class VAEOptions(SampleOptions):
    """prior: decode z ~ N(0, I). reconstruct: validation images, each followed by its reconstruction.
    interpolate: each row of eight leads from one validation image to another."""

    mode: Literal["prior", "reconstruct", "interpolate"] = "prior"
    temperature: float = 1.0  # scales the standard deviation of the prior

    @property
    def needs_data(self) -> bool:
        return self.mode != "prior"

    def __post_init__(self):
        if self.temperature < 0:
            raise UsageError(f"--temperature {self.temperature}: must not be negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(Model):
    """Gaussian posterior and prior; entries "encoder" and "decoder", one turn "elbo".

    The images of a batch, in [-1, 1], become x = (image + 1) / 2 in [0, 1] for the Bernoulli likelihood:
    "dynamic" draws a binary x anew at each step (Burda et al. 2015, arXiv:1509.00519), "static" thresholds at 1/2,
    "none" takes grey values as probabilities, as the original paper does. "gaussian" has one learned standard
    deviation for all pixels (Rybkin et al. 2020, arXiv:2006.13202); "mse" is a Gaussian with sigma = 1 without its
    constant, so that its ELBO is known up to H W C log(2 pi) / 2.
    """

    network: Literal["dense", "conv"] = "conv"
    widths: tuple[int, ...] = (32, 64)  # conv: each halves the resolution; dense: hidden layers
    latent: int = 16
    likelihood: Literal["bernoulli", "gaussian", "mse"] = "bernoulli"
    binarization: Literal["dynamic", "static", "none"] = "none"
    beta: float = 1.0  # weight of the KL term (Higgins et al. 2017)
    kl_warmup_steps: int = 0  # steps over which beta grows from 0 (Sonderby et al. 2016, arXiv:1602.02282)
    conditional: bool | None = False  # p(x | z, label), q(z | x, label) (Sohn et al. 2015); None = if there are labels
    iwae_samples: int = 16  # K of the importance-weighted bound in validation
    image_shape: tuple[int, int, int] | None = None
    classes: int | None = None

    Options: ClassVar = VAEOptions
    best: ClassVar = ("elbo", "max")

    def __post_init__(self):
        if self.latent < 1 or self.iwae_samples < 1 or not self.widths or min(self.widths) < 1:
            raise UsageError("VAE: latent, iwae_samples and all widths must be positive")

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
        return dataclasses.replace(self, image_shape=shape, conditional=conditional, classes=classes)

    def networks(self) -> dict[str, nn.Module]:
        dense = self.network == "dense"
        encoder = autoencoder.DenseEncoder if dense else autoencoder.ConvEncoder
        decoder = autoencoder.DenseDecoder if dense else autoencoder.ConvDecoder
        network = decoder(self.widths, self.image_shape, self.classes or 0, self.dtype)
        return {
            "encoder": encoder(self.widths, 2 * self.latent, self.classes or 0, self.dtype),
            "decoder": Decoder(network, gaussian=self.likelihood == "gaussian"),
        }

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        networks = self.networks()
        keys = jax.random.split(key)
        label = jnp.zeros((1,), jnp.int32) if self.conditional else None
        inputs = {"encoder": jnp.zeros((1, *self.image_shape)), "decoder": jnp.zeros((1, self.latent))}
        params = {entry: networks[entry].init(k, inputs[entry], label)["params"] for entry, k in zip(inputs, keys)}
        return params, {}

    def encode(self, params: Params, image_BHWC: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """(B, Z) mean and log variance of q(z | x), float32."""
        features = self.networks()["encoder"].apply({"params": params["encoder"]}, image_BHWC, label_B)
        return tuple(jnp.split(features.astype(jnp.float32), 2, axis=-1))

    def decode(self, params: Params, z_BZ: Array, label_B: Array | None = None) -> tuple[Array, Array]:
        """Parameters of p(x | z): see `Decoder`."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, z_BZ, label_B)

    def elbo(self, params: Params, batch: Batch, key: Array) -> tuple[Array, Array, Array]:
        """(log p(x | z), KL(q || p), importance weight log p(x, z) - log q(z | x)), each (B,), for one z ~ q."""
        x_key, z_key = jax.random.split(key)
        image, label, index = batch["image"], self._label(batch), batch["index"]
        target = self._target(image, x_key, index)
        mean, log_var = self.encode(params, self._input(target), label)
        eps = noise.normal(z_key, index, (self.latent,))
        z = mean + jnp.exp(0.5 * log_var) * eps
        log_likelihood = self.log_likelihood(target, *self.decode(params, z, label))
        kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1.0 - log_var, axis=-1)  # appendix B of the paper
        log_ratio = 0.5 * jnp.sum(jnp.square(eps) + log_var - jnp.square(z), axis=-1)  # log p(z) - log q(z | x)
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

        The importance-weighted bound is equation 8 of Burda et al. 2015; its name carries K.
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
        return {name: (jnp.sum(value * valid), jnp.sum(valid)) for name, value in values.items()}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: VAEOptions
    ) -> dict[str, Array]:
        """Means of p(x | z). `conditions` holds `label` if conditional, `image` unless the mode is "prior"."""
        index, label = conditions["index"], self._label(conditions)
        if options.mode == "prior":
            z = options.temperature * noise.normal(key, index, (self.latent,))
            return {"image": self._mean_image(params, z, label)}
        image = conditions["image"]
        z, _ = self.encode(params, self._input(self._target(image, key, index)), label)
        if options.mode == "interpolate":
            return {"image": self.interpolate(params, z, label)}
        pairs = jnp.stack([image, self._mean_image(params, z, label)], axis=1)
        return {"image": pairs.reshape(-1, *self.image_shape)[: image.shape[0]]}

    def interpolate(self, params: Params, z_BZ: Array, label_B: Array | None, steps: int = 8) -> Array:
        """(B, H, W, C): each `steps` images lie on the straight line from one z to another."""
        rows = -(-z_BZ.shape[0] // steps)
        start, end = z_BZ[:rows], jnp.roll(z_BZ, -rows, axis=0)[:rows]
        t = jnp.linspace(0.0, 1.0, steps)[None, :, None]
        z = ((1 - t) * start[:, None] + t * end[:, None]).reshape(-1, self.latent)[: z_BZ.shape[0]]
        label = None if label_B is None else jnp.repeat(label_B[:rows], steps)[: z_BZ.shape[0]]
        return self._mean_image(params, z, label)

    def _mean_image(self, params: Params, z_BZ: Array, label_B: Array | None) -> Array:
        output, _ = self.decode(params, z_BZ, label_B)
        return self._input(jax.nn.sigmoid(output)) if self.likelihood == "bernoulli" else jnp.clip(output, -1, 1)

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
