"""Pictures from text by diffusion: a denoiser that attends to the tokens of a caption.

As in latent diffusion (Rombach et al. 2022, arXiv:2112.10752, section 3.3) a transformer reads the caption, and is
learned together with the denoiser.
"""

import dataclasses
from typing import ClassVar, Self

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError, UserError
from genjax.models.base import Array, Batch, Given, Layout, Params, SampleOptions, Tree, require_agreement
from genjax.models.diffusion.model import Diffusion
from genjax.models.diffusion.options import DiffusionOptions
from genjax.models.multimodal.coded import lengths_of, words_of
from genjax.models.multimodal.dalle_options import captions_of
from genjax.networks import transformer
from genjax.networks.base import Text
from genjax.networks.language import Encoder
from genjax.nn.attention import Mask
from genjax.registry import register
from genjax.spec import DataSpec, Field, Tokens, require

__all__ = ["Text2Image", "Text2ImageOptions"]


@dataclasses.dataclass(frozen=True)
class Text2ImageOptions(DiffusionOptions):
    """As of any diffusion model; without `prompt`, pictures are made from the captions of validation examples."""

    prompt: tuple[str, ...] = ()  # captions, in turn

    def conditions(self, model: Diffusion, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        arrays, options = super().conditions(model, given, num)
        arrays |= captions_of(self.prompt, given, num) if self.prompt else {}
        return arrays, dataclasses.replace(options, prompt=())


class Reader(nn.Module):
    """A denoiser and the encoder of what it reads."""

    network: nn.Module
    encoder: Encoder

    def __call__(
        self, x_BHWC: Array, noise_B: Array, label_B: None = None, index_B: Array | None = None, *, text: Text
    ) -> Array:
        return self.network(x_BHWC, noise_B, label_B, index_B, text=text)

    def read(self, words_BS: Array, length_B: Array) -> Text:
        return Text(self.encoder(words_BS, mask=Mask(lengths_B=length_B)), length_B)

    def whole(self, x_BHWC: Array, noise_B: Array, words_BS: Array, length_B: Array) -> Array:
        """From noise and words to the output, for initialization."""
        return self(x_BHWC, noise_B, text=self.read(words_BS, length_B))


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Text2Image(Diffusion):
    """`Diffusion` with the field `caption` in the label's place. The encoder of captions is part of the denoiser.

    `label_dropout` is the share of captions that are left out in training: the encoder then reads the end of a text
    alone.
    """

    text_layers: int = 2  # of the encoder of captions, and so on
    text_width: int = 128  # features of a word
    text_heads: int = 4  # of the text's attention
    text: int | None = None  # tokens of a caption; None = the data's
    words: int | None = None  # ids that a caption may have; None = the data's
    end: int | None = None  # the id that closes a caption; None = the data's

    Options: ClassVar = Text2ImageOptions

    def __post_init__(self):
        super().__post_init__()
        if not self.network.reads:
            network = type(self.network).__name__
            raise UsageError(f"Text2Image: {network} attends to no text; DiTConfig and UNetConfig do")
        if self.conditional or self.task != "none":
            raise UsageError("Text2Image: pictures are made of captions: leave conditional and task out")

    @property
    def rules(self) -> tuple[tuple[str, tuple], ...]:
        own = tuple((f"denoiser/network/{path}", axes) for path, axes in self.network.rules)
        return own + tuple((f"denoiser/encoder/{path}", axes) for path, axes in transformer.RULES)

    @property
    def guidable(self) -> bool:
        return self.label_dropout > 0

    def expects(self) -> dict[str, Field]:
        caption = Tokens((self.text,), self.words, ragged=True, end=self.end) if self.text and self.words else None
        return super().expects() | ({"caption": caption} if caption else {})

    def resolve(self, spec: DataSpec) -> "Text2Image":
        caption = require(spec, "caption", Tokens, "Text2Image")
        found = {"text": caption.longest, "words": caption.vocabulary, "end": caption.end or 0}
        require_agreement(self, **found)
        return Diffusion.resolve(dataclasses.replace(self, conditional=False, **found), spec)

    @property
    def denoiser(self) -> Reader:
        """Captions are too short for flash kernels and loops over layers."""
        config = transformer.Config(
            layers=self.text_layers,
            width=self.text_width,
            heads=self.text_heads,
            context=self.text,
            vocabulary=self.words,
            attention="xla",
            unroll=self.text_layers,
            dtype=self.dtype,
        )
        return Reader(super().denoiser, Encoder(config))

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        key, params, state = self.space.init(key, spec, batch_size)
        height, width, channels = self.shape
        x, one = jnp.zeros((1, height, width, channels * (1 + self.self_conditioning))), jnp.ones((1,), jnp.int32)
        denoiser = self.denoiser.init(key, x, jnp.zeros((1,)), one[:, None], one, method="whole")["params"]
        return {"denoiser": denoiser, **params}, state

    # What is given: captions, read once for all levels of noise.

    def read(self, params: Params, words_BS: Array, length_B: Array) -> Text:
        return self.denoiser.apply({"params": params["denoiser"]}, words_BS, length_B, method="read")

    def given(self, params: Params, conditions: Batch) -> Text:
        if "caption" not in conditions:
            raise UserError("this model makes pictures of captions, and none was given")
        return self.read(params, words_of(conditions, self.text), lengths_of(conditions))

    def nothing(self, params: Params) -> Text:
        """The end of a text alone, in as many places as captions have."""
        return self.read(params, jnp.full((1, self.text), self.end, jnp.int32), jnp.ones((1,), jnp.int32))

    def needs(self, options: SampleOptions) -> tuple[str, ...]:
        return () if getattr(options, "prompt", ()) else ("caption",)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": Text2ImageOptions()}

    def layout(self, options: SampleOptions) -> Layout:
        """The captions stand under the pictures."""
        return Layout(("image", "given.caption"))
