"""DALL-E (Ramesh et al. 2021, arXiv:2102.12092): text and picture as one sequence of ids, learned by one decoder.

The ids of pictures are those of a first stage. Without captions the same model learns pictures by class, or alone, as
VQGAN's transformer does (Esser et al. 2020, arXiv:2012.09841): a class is a text of one word.
"""

import dataclasses
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
    Params,
    Term,
    Tree,
    Turn,
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.first_stage import prefixed
from genjax.models.language.gpt import cross_entropy
from genjax.models.multimodal.coded import Coded, lengths_of, words_of
from genjax.models.multimodal.dalle_options import DALLEOptions
from genjax.models.multimodal.dalle_sampling import sample
from genjax.networks import transformer
from genjax.networks.text_image import Sequence, TextImageDecoder
from genjax.nn import noise
from genjax.registry import register
from genjax.spec import Codes, DataSpec, Field, Image, Label, Tokens, require

__all__ = ["DALLE"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class DALLE(Coded):
    """Entry "decoder", one turn "next_token", and the frozen entries of the first stage, under "first_stage.".

    A batch holds images, which are encoded at each step, or the `tokens` that `genjax encode` wrote once. The loss is
    in nats a token: of the text's own tokens, its end included, and of the picture's, weighted.
    """

    condition: Literal["caption", "label", "none"] | None = None  # None = the first of them that the data has
    text_weight: float = 1 / 8  # of the text's loss; the picture's has the rest (section 2.2)
    text_dropout: float = 0.1  # share of texts left out in training, for classifier-free guidance
    text: int | None = None  # tokens of the text; None = the data's
    words: int | None = None  # ids that a text may have; None = the data's

    Options: ClassVar = DALLEOptions
    best: ClassVar = ("image_nll", "min")
    rules: ClassVar = tuple((f"decoder/{path}", spec) for path, spec in transformer.RULES if path != "positions")

    def __post_init__(self):
        super().__post_init__()
        if not (0 <= self.text_weight < 1 and 0 <= self.text_dropout < 1):
            raise UsageError("DALLE: text_weight and text_dropout must be in [0, 1)")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("next_token", trains=("decoder",)),)

    @property
    def conditional(self) -> bool:
        """On the label."""
        return self.condition == "label"

    @property
    def sequence(self) -> Sequence:
        """Of a resolved model."""
        return Sequence(self.text, self.words, self.codes.grid, self.codes.vocabulary)

    def expects(self) -> dict[str, Field]:
        """Codes in the images' place, as recipes of large data are made for."""
        fields = self.first_stage.expects()
        if "image" in fields:
            fields = {"tokens": self.first_stage.resolve(DataSpec(fields)).code}
        if self.condition == "caption" and self.text and self.words:
            fields = fields | {"caption": Tokens((self.text,), self.words, ragged=True, end=self.words - 1)}
        return fields | ({"label": Label(self.words)} if self.conditional and self.words else {})

    def resolve(self, spec: DataSpec) -> "DALLE":
        tokens, fields = spec.fields.get("tokens"), dict(spec.fields)
        if "image" not in fields:
            fields["image"] = require(spec, "tokens", Codes, "DALLE").image
        first_stage = self.resolved_first_stage(dataclasses.replace(spec, fields=fields))
        if isinstance(tokens, Codes) and "image" not in spec.fields and tokens != first_stage.code:
            raise UserError(
                f"the data holds {tokens.describe()}, and --model.first-stage makes {first_stage.code.describe()}: "
                "give it the fields of the run that encoded them"
            )
        condition = self.condition or next((name for name in ("caption", "label") if name in fields), "none")
        text, words, weight = 0, 0, 0.0
        if condition == "caption":
            caption = require(spec, "caption", Tokens, "DALLE")
            text, words, weight = caption.longest, caption.vocabulary, self.text_weight
        if condition == "label":
            text, words, weight = 1, require(spec, "label", Label, "DALLE of a class").classes, self.text_weight
        require_agreement(self, text=text, words=words)
        found = {"condition": condition, "text": text, "words": words, "text_weight": weight}
        resolved = dataclasses.replace(self, first_stage=first_stage, **found)
        s = resolved.sequence
        require_agreement(self, context=s.length, vocabulary=s.vocabulary)
        return dataclasses.replace(resolved, context=s.length, vocabulary=s.vocabulary)

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": TextImageDecoder(self, self.sequence), **prefixed(self.first_stage.networks())}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        key, params, state = self.init_first_stage(key, spec, batch_size)
        decoder = self.networks()["decoder"].init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        return {"decoder": decoder, **params}, state

    # How it learns.

    def texts(self, conditions: Batch) -> tuple[Array, Array]:
        """The words (B, S) of captions or labels, and how many of each row count."""
        rows = conditions["index"].shape[0]
        if self.condition == "none":
            return jnp.zeros((rows, 0), jnp.int32), jnp.zeros((rows,), jnp.int32)
        if (missing := self.condition) not in conditions:
            raise UserError(f"this DALLE needs a {missing} for every picture, and none was given")
        if self.condition == "label":
            return conditions["label"][:, None], jnp.ones((rows,), jnp.int32)
        return words_of(conditions, self.text), lengths_of(conditions)

    def nats(
        self, params: Params, state: Tree, batch: Batch, key: Array, *, train: bool
    ) -> tuple[tuple[Array, Array], Array]:
        """-log p of the text's tokens (B, S) with what of it counts, and of the picture's (B, T)."""
        encode_key, text_key, key = jax.random.split(key, 3)
        index_B, s, (words_BS, length_B) = batch["index"], self.sequence, self.texts(batch)
        if train and self.text_dropout:
            length_B = jnp.where(noise.uniform(text_key, index_B) < self.text_dropout, 0, length_B)
        ids_BT = self.ids(params, state, batch, encode_key)
        tokens_BN = jnp.concatenate([s.texts(words_BS, length_B), s.first_code + ids_BT], axis=1)
        text_BSV, image_BTV = self.networks()["decoder"].apply(
            {"params": params["decoder"]},
            tokens_BN[:, :-1],
            index_B if train and self.dropout else None,
            rngs={"dropout": key},
        )
        counts_BS = (jnp.arange(s.text) < length_B[:, None]).astype(jnp.float32)
        return (cross_entropy(text_BSV, words_BS), counts_BS), cross_entropy(image_BTV, ids_BT)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Cross-entropies of text and picture, each a mean over its own tokens (section 2.2)."""
        require_turn(self, turn)
        (text_BS, counts_BS), image_BT = self.nats(params, state, batch, key, train=train)
        terms = {"image": Term.mean(image_BT, scale=1 - self.text_weight)}
        if self.text_weight:
            terms["text"] = Term.mean(text_BS, counts_BS, scale=self.text_weight)
        metrics = {"image_nll": Term.mean(image_BT)}
        return LossOutput(terms, metrics, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats a token of the picture given its text, and of the text."""
        (text_BS, counts_BS), image_BT = self.nats(params, state, batch, key, train=False)
        valid_B1 = valid_rows(batch)[:, None]
        metrics = {"image_nll": Term.mean(image_BT, jnp.broadcast_to(valid_B1, image_BT.shape))}
        return metrics | ({"text_nll": Term.mean(text_BS, counts_BS * valid_B1)} if self.text else {})

    # What it makes.

    def check(self, options: DALLEOptions) -> DALLEOptions:
        if options.prompt and self.condition != "caption":
            raise UsageError("--prompt: this model was trained without captions (--model.condition)")
        if options.guidance != 1.0 and not (self.text and self.text_dropout):
            raise UsageError(
                f"--guidance {options.guidance}: this model cannot be guided; that takes training with text or labels "
                "and --model.text-dropout above 0"
            )
        return super().check(options)

    def needs(self, options: DALLEOptions) -> tuple[str, ...]:
        return ("caption",) if self.condition == "caption" and not options.prompt else ()

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape)}

    def layout(self, options: DALLEOptions) -> Layout:
        """The captions stand under the pictures."""
        return Layout(("image", "given.caption") if self.condition == "caption" else ())

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: DALLEOptions
    ) -> dict[str, Array]:
        """Pictures (N, H, W, C) for `caption` (N, S) with `caption_length`, or `label`.

        Of `init` (N, H, W, C), where it is given, the upper rows are kept.
        """
        return {"image": sample(self, params, state, key, conditions, options)}
