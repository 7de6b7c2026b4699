"""Latent diffusion (Rombach et al. 2022, arXiv:2112.10752): a denoiser of the latents of a frozen autoencoder."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.diffusion.ode import Denoise
from genjax.errors import UsageError, UserError
from genjax.models.base import Array, Batch, Params, Tree
from genjax.models.diffusion import Diffusion
from genjax.models.vae import VAE
from genjax.nn import noise
from genjax.spec import DataSpec

# The model of the recipe kl_f8: the first stage of Stable Diffusion.
KL_F8 = VAE(
    network="spatial",
    widths=(128, 256, 512, 512),
    blocks=2,
    latent=4,
    likelihood="gaussian",
    beta=1e-6,
    iwae_samples=1,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentDiffusion(Diffusion):
    """Entries "denoiser", trained, and "encoder" and "decoder", frozen: `--train.init-from RUN` brings them.

    A batch holds images, which are encoded at each step, or the latents that `genjax encode` computed once.
    """

    first_stage: VAE = KL_F8
    latent_std: float | None = None  # latents are divided by it; None = as `genjax encode` measured it, or 1

    pixels: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        if self.first_stage.network != "spatial":
            raise UsageError("LatentDiffusion needs latents with the picture's layout: first_stage.network spatial")
        if self.task != "none":
            raise UsageError("LatentDiffusion has no tasks: set --model.task none")
        if self.latent_std is not None and not self.latent_std > 0:
            raise UsageError(f"LatentDiffusion: latent_std {self.latent_std} must be positive")
        if self.likelihood_steps:
            raise UsageError("LatentDiffusion: a likelihood of latents says nothing of the images: likelihood_steps 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.first_stage.latent_shape

    def resolve(self, spec: DataSpec) -> "LatentDiffusion":
        images = dataclasses.replace(spec, latent_shape=None)  # what the first stage has to do with
        first_stage = dataclasses.replace(self.first_stage, dtype=self.first_stage.dtype or self.dtype).resolve(images)
        if spec.latent_shape and tuple(spec.latent_shape) != first_stage.latent_shape:
            raise UserError(
                f"the data's latents have the shape {tuple(spec.latent_shape)}, those of --model.first-stage "
                f"{first_stage.latent_shape}: give it the fields of the autoencoder that encoded them"
            )
        std = self.latent_std or spec.latent_std or 1.0
        return super(LatentDiffusion, dataclasses.replace(self, first_stage=first_stage, latent_std=std)).resolve(
            images
        )

    def networks(self) -> dict[str, nn.Module]:
        return {**super().networks(), **self.first_stage.networks()}

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        first_key, key = jax.random.split(key)
        params, state = super().init(key, spec)
        return {**params, **self.first_stage.init(first_key, spec)[0]}, state

    def encode(self, params: Params, batch: Batch, key: Array) -> Array:
        """z ~ q(z | image), divided by its standard deviation over the data (appendix G of the paper)."""
        seen_key, key = jax.random.split(key)
        if "latent" in batch:
            mean, log_var = jnp.split(batch["latent"], 2, axis=-1)
        else:
            seen = self.first_stage.seen(batch["image"], seen_key, batch["index"])
            mean, log_var = self.first_stage.encode(params, seen, self._first_label(batch))
        eps = noise.normal(key, batch["index"], self.shape)
        return jax.lax.stop_gradient((mean + jnp.exp(0.5 * log_var) * eps) / self.latent_std)

    def decode(self, params: Params, x0_BHWC: Array, conditions: Batch) -> Array:
        return self.first_stage.decoded_image(params, x0_BHWC * self.latent_std, self._first_label(conditions))

    def _first_label(self, batch: Batch) -> Array | None:
        return batch["label"] if self.first_stage.conditional else None

    def _bits_per_dim(self, denoise: Denoise, x0: Array, u_B: Array, key: Array, index_B: Array) -> dict[str, Array]:
        return {}  # of latents they say nothing of the images
