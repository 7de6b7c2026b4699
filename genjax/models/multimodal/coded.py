"""What transformers of text and pictures share: a frozen first stage, whose ids stand for the pictures."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.models.base import Array, Batch, Model, Params, Tree
from genjax.models.first_stage import own, prefixed
from genjax.models.vae.vqvae import VQVAE
from genjax.networks import transformer
from genjax.spec import Codes, DataSpec, Image

__all__ = ["Coded", "lengths_of", "words_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coded(transformer.Config, Model):
    """A transformer beside the frozen entries of a first stage, which stand under "first_stage."."""

    first_stage: Model = VQVAE()  # noqa: RUF009, frozen: any system whose `code` is of the kind Codes

    def __post_init__(self):
        super().__post_init__()
        if self.positions != "learned" or self.order != "pre":
            raise UsageError(f"{type(self).__name__}: positions are learned, and norms come first")

    @property
    def code(self) -> None:
        """It is no first stage itself."""
        return None

    @property
    def codes(self) -> Codes:
        """The kind of the picture's ids, of a resolved model."""
        return self.first_stage.code

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.codes.image.shape

    def resolved_first_stage(self, spec: DataSpec) -> Model:
        """The first stage for the images of this data. Raises UserError where its codes are no ids."""
        first_stage = dataclasses.replace(self.first_stage, dtype=self.first_stage.dtype or self.dtype).resolve(spec)
        if not isinstance(first_stage.code, Codes):
            raise UserError(
                f"{type(self).__name__} needs a first stage whose codes are ids, such as VQVAE; "
                f"{type(first_stage).__name__} has others"
            )
        return first_stage

    def on(self, platform: str) -> Self:
        return dataclasses.replace(super().on(platform), first_stage=self.first_stage.on(platform))

    def inside(self, name: str) -> Model:
        return self.first_stage if name == "first_stage" else self

    def init_first_stage(self, key: Array, spec: DataSpec, batch_size: int) -> tuple[Array, Params, Tree]:
        """The key that is left; the first stage's parameters and state, by their names here."""
        first_key, key = jax.random.split(key)
        images = dataclasses.replace(spec, fields={**spec.fields, "image": Image(*self.image_shape)})
        params, state = self.first_stage.init(first_key, images, batch_size)
        return key, prefixed(params), prefixed(state)

    def ids(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """(B, T) the picture's ids, from 0 on: those that `genjax encode` wrote, or of the images."""
        if "tokens" in batch:
            return batch["tokens"]
        return self.first_stage.encode(own(params), own(state), batch, key)


def words_of(batch: Batch, width: int) -> Array:
    """(B, S) the captions, padded to S = `width`: batches of buckets have shorter ones."""
    words_BS = batch["caption"]
    return jnp.pad(words_BS, ((0, 0), (0, width - words_BS.shape[1])))


def lengths_of(batch: Batch) -> Array | None:
    """(B,) how many tokens of each caption count; None where there are none."""
    if "caption" not in batch:
        return None
    rows, longest = batch["caption"].shape
    return batch.get("caption_length", jnp.full((rows,), longest, jnp.int32))
