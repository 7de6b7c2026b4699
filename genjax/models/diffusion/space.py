"""The space that a diffusion model works in: the images' own pixels, or the latents of a first stage."""

import dataclasses
from typing import ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.models.base import Array, Batch, Model, Params, Tree
from genjax.models.first_stage import own, prefixed
from genjax.models.images import images_of
from genjax.models.vae import VAE
from genjax.networks.spatial_autoencoder import SpatialAutoencoder
from genjax.nn import noise
from genjax.registry import register
from genjax.spec import DataSpec, Field, Latent, require

__all__ = ["KL_F8", "Latents", "Pixels", "Space"]

# The model of the recipe kl_f8: the first stage of Stable Diffusion.
KL_F8 = VAE(
    network=SpatialAutoencoder(widths=(128, 256, 512, 512), blocks=2),
    latent=4,
    likelihood="l1",
    beta=1e-6,
    iwae_samples=1,
)


@dataclasses.dataclass(frozen=True)
class Space:
    """Base of the spaces. `image_shape` (H, W, C) is that of the images, whatever is denoised.

    Attributes:
      pixels: images in [-1, 1] are denoised: estimates beyond can be clipped, and likelihoods are those of images.
    """

    pixels: ClassVar[bool]

    def resolve(self, spec: DataSpec, dtype: str | None) -> tuple[Self, DataSpec]:
        """The space of this data, and the data with images in any case.

        Raises UserError where the data lacks what the space needs.
        """
        raise NotImplementedError

    def expects(self, fields: dict[str, Field]) -> dict[str, Field]:
        """The fields of the data to train on, `fields` being those of images, as far as they are known."""
        return fields

    def shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(H, W, C) of what is denoised, of a resolved space."""
        raise NotImplementedError

    def on(self, platform: str) -> Self:
        return self

    def networks(self) -> dict[str, nn.Module]:
        """The space's own networks, by entry of the diffusion model."""
        return {}

    def init(self, key: Array, spec: DataSpec, batch_size: int) -> tuple[Array, Params, Tree]:
        """A key for the denoiser, and parameters and state of the space's own networks."""
        return key, {}, {}

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """x0 (B, *shape) of a batch."""
        raise NotImplementedError

    def decode(self, params: Params, state: Tree, x0_BHWC: Array, conditions: Batch) -> Array:
        """The images (B, H, W, C) in [-1, 1] of x0."""
        raise NotImplementedError


@register
@dataclasses.dataclass(frozen=True)
class Pixels(Space):
    """Images as they are."""

    pixels: ClassVar = True

    def resolve(self, spec: DataSpec, dtype: str | None) -> tuple[Self, DataSpec]:
        return self, spec

    def shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return image_shape

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        return images_of(batch)

    def decode(self, params: Params, state: Tree, x0_BHWC: Array, conditions: Batch) -> Array:
        return jnp.clip(x0_BHWC, -1, 1)


@register
@dataclasses.dataclass(frozen=True)
class Latents(Space):
    """Latent diffusion (Rombach et al. 2022, arXiv:2112.10752): the latents of a first stage, which stays as it is.

    `first_stage` is any system whose `code` is a Latent. Its entries carry the prefix "first_stage.";
    `--train.init-from first_stage=RUN` brings them. A batch holds images, which are encoded at each step, or the
    latents that `genjax encode` computed once.
    """

    first_stage: Model = KL_F8
    std: float | None = None  # latents are divided by it; None = as `genjax encode` measured it, or 1

    pixels: ClassVar = False

    def __post_init__(self):
        if self.std is not None and not 0 < self.std < float("inf"):
            raise UsageError(f"Latents: std {self.std} must be a positive number")

    def resolve(self, spec: DataSpec, dtype: str | None) -> tuple[Self, DataSpec]:
        latent, fields = None, dict(spec.fields)
        if "latent" in fields:
            latent = require(spec, "latent", Latent, "latent diffusion")
            fields["image"] = latent.image
            del fields["latent"]
        images = dataclasses.replace(spec, fields=fields)
        first_stage = dataclasses.replace(self.first_stage, dtype=self.first_stage.dtype or dtype).resolve(images)
        if not isinstance(first_stage.code, Latent):
            raise UserError(
                f"latent diffusion needs a first stage whose codes keep the picture's layout, such as VAE with the "
                f"network SpatialAutoencoder; this {type(first_stage).__name__} has none"
            )
        if latent is not None and latent.shape != first_stage.code.shape:
            raise UserError(
                f"the data's latents have the shape {latent.shape}, those of --model.space.first-stage "
                f"{first_stage.code.shape}: give it the fields of the autoencoder that encoded them"
            )
        std = self.std or (latent.std if latent else 1.0)
        return dataclasses.replace(self, first_stage=first_stage, std=std), images

    def expects(self, fields: dict[str, Field]) -> dict[str, Field]:
        """Latents in the images' place, as recipes are made for."""
        if "image" not in fields:
            return fields
        code = self.first_stage.resolve(DataSpec(fields)).code
        if not isinstance(code, Latent):
            return fields
        rest = {name: field for name, field in fields.items() if name != "image"}
        return {"latent": dataclasses.replace(code, std=self.std or 1.0), **rest}

    def shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return self.first_stage.code.shape

    def on(self, platform: str) -> Self:
        return dataclasses.replace(self, first_stage=self.first_stage.on(platform))

    def networks(self) -> dict[str, nn.Module]:
        return prefixed(self.first_stage.networks())

    def init(self, key: Array, spec: DataSpec, batch_size: int) -> tuple[Array, Params, Tree]:
        first_key, key = jax.random.split(key)
        params, state = self.first_stage.init(first_key, spec, batch_size)
        return key, prefixed(params), prefixed(state)

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """z ~ q(z | image), divided by its standard deviation over the data (appendix G of the paper)."""
        seen_key, key = jax.random.split(key)
        if "latent" in batch:
            moments = batch["latent"]
        else:
            moments = self.first_stage.encode(own(params), own(state), batch, seen_key)
        mean, log_var = jnp.split(moments, 2, axis=-1)
        z = mean + jnp.exp(0.5 * log_var) * noise.normal(key, batch["index"], mean.shape[1:])
        return jax.lax.stop_gradient(z / self.std)

    def decode(self, params: Params, state: Tree, x0_BHWC: Array, conditions: Batch) -> Array:
        return self.first_stage.decode(own(params), own(state), x0_BHWC * self.std, conditions)
