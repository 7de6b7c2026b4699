"""A cross-modal transformer: captions of pictures, pictures of captions, and how well the two fit, by one network.

It is learned by three losses at once, as CoCa (Yu et al. 2022, arXiv:2205.01917, equation 4) adds CLIP's contrastive
one to that of captions. Pictures are written as DALL-E writes them (Ramesh et al. 2021, arXiv:2102.12092).
"""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError, UserError
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
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.first_stage import prefixed
from genjax.models.images import images_of
from genjax.models.language.gpt import cross_entropy
from genjax.models.multimodal.coded import Coded, lengths_of
from genjax.models.multimodal.contrastive import clip_loss, recalls
from genjax.models.multimodal.crossmodal_options import CrossModalOptions
from genjax.models.multimodal.crossmodal_sampling import captioned, drawn
from genjax.networks import transformer
from genjax.networks.cross_modal import CrossModalTransformer, Outputs, Sizes
from genjax.nn import noise
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Tokens, require

__all__ = ["CrossModal"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossModal(Coded):
    """Entry "transformer", one turn "learn", and the frozen entries of the first stage, under "first_stage.".

    A picture's negatives are the other captions of its batch, on whichever devices they are, and the other way round.
    With --train.grad-accumulation k they are those of its own micro-batch: B / k examples, of which the loss is the
    mean.
    """

    patch: int = 16  # pixels a side of what the encoder reads of a picture
    shared: int = 512  # numbers of the space that pictures and captions share
    contrastive_weight: float = 1.0  # of CLIP's loss
    caption_weight: float = 1.0  # of the nats a token of captions
    image_weight: float = 1.0  # of the nats an id of pictures
    text_dropout: float = 0.1  # share of pictures written without their caption, for classifier-free guidance
    candidates: int = 1000  # the first validation examples, among which pictures and captions are looked up
    text: int | None = None  # tokens of a caption; None = the data's
    words: int | None = None  # ids that a caption may have; None = the data's
    end: int | None = None  # the id that closes a caption; None = the data's

    Options: ClassVar = CrossModalOptions
    best: ClassVar = ("image_nll", "min")
    metrics: ClassVar = ("match",)
    scores: ClassVar = ("image", "caption")
    measured: ClassVar = ("candidates",)
    rules: ClassVar = tuple(
        (f"transformer/{part}{path}", spec) for part in ("encoder/", "decoder/", "") for path, spec in transformer.RULES
    )

    def __post_init__(self):
        super().__post_init__()
        if min(self.patch, self.shared, self.candidates) < 1:
            raise UsageError("CrossModal: patch, shared and candidates must be positive")
        if min(self.contrastive_weight, self.caption_weight, self.image_weight) < 0 or not 0 <= self.text_dropout < 1:
            raise UsageError("CrossModal: weights must not be negative, and text_dropout must be in [0, 1)")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("learn", trains=("transformer",)),)

    @property
    def couples_batch(self) -> bool:
        return True

    @property
    def sizes(self) -> Sizes:
        """Of a resolved model."""
        codes = self.codes
        return Sizes(self.text, self.words, self.image_shape, self.patch, codes.longest, codes.vocabulary, self.shared)

    def expects(self) -> dict[str, Field]:
        fields = self.first_stage.expects()
        if self.text and self.words:
            fields = fields | {"caption": Tokens((self.text,), self.words, ragged=True, end=self.end)}
        return fields

    def resolve(self, spec: DataSpec) -> "CrossModal":
        height, width, _ = require(spec, "image", Image, "CrossModal").shape
        caption = require(spec, "caption", Tokens, "CrossModal")
        if caption.end is None:
            raise UsageError("CrossModal needs captions that end in a token of their own: another --data.tokenizer")
        if height % self.patch or width % self.patch:
            raise UsageError(f"--model.patch {self.patch} does not divide pictures of {height} x {width}")
        found = {"text": caption.longest, "words": caption.vocabulary, "end": caption.end}
        require_agreement(self, **found)
        resolved = dataclasses.replace(self, first_stage=self.resolved_first_stage(spec), **found)
        sizes = resolved.sizes
        size = {"context": max(sizes.text, sizes.ids), "vocabulary": sizes.vocabulary}
        require_agreement(self, **size)
        return dataclasses.replace(resolved, **size)

    def networks(self) -> dict[str, nn.Module]:
        return {"transformer": CrossModalTransformer(self, self.sizes), **prefixed(self.first_stage.networks())}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        key, params, state = self.init_first_stage(key, spec, batch_size)
        image, ids, one = jnp.zeros((1, *self.image_shape)), jnp.zeros((1, 1), jnp.int32), jnp.ones((1,), jnp.int32)
        network = self.networks()["transformer"].init(key, image, ids, one, ids, one > 0)["params"]
        return {"transformer": network, **params}, state

    def apply(self, params: Params, *arguments, **options) -> Any:
        return self.networks()["transformer"].apply({"params": params["transformer"]}, *arguments, **options)

    # How it learns.

    def outputs_of(
        self, params: Params, state: Tree, batch: Batch, key: Array, *, train: bool
    ) -> tuple[Outputs, tuple[Array, Array], Array]:
        """What the network says of a batch; nats of captions (B, S) with what of them counts; of pictures (B, T)."""
        encode_key, text_key, key = jax.random.split(key, 3)
        index_B, caption_BS, length_B = batch["index"], batch["caption"], lengths_of(batch)
        ids_BT = self.ids(params, state, batch, encode_key)
        heard_B = jnp.ones(index_B.shape, bool)
        if train and self.text_dropout:
            heard_B = noise.uniform(text_key, index_B) >= self.text_dropout
        dropped_B = index_B if train and self.dropout else None
        given = (images_of(batch), caption_BS, length_B, ids_BT, heard_B, dropped_B)
        out = self.apply(params, *given, rngs={"dropout": key})
        counts_BS = (jnp.arange(caption_BS.shape[1]) < length_B[:, None]).astype(jnp.float32)
        return out, (cross_entropy(out.caption_BSV, caption_BS), counts_BS), cross_entropy(out.ids_BTV, ids_BT)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """CLIP's loss, and the cross-entropies of caption and picture, each a mean over its own tokens."""
        require_turn(self, turn)
        out, (caption_BS, counts_BS), image_BT = self.outputs_of(params, state, batch, key, train=train)
        terms = {
            "contrastive": Term.mean(clip_loss(out.image_BE, out.caption_BE, out.scale), scale=self.contrastive_weight),
            "caption": Term.mean(caption_BS, counts_BS, scale=self.caption_weight),
            "image": Term.mean(image_BT, scale=self.image_weight),
        }
        return LossOutput(terms, {"scale": Term.mean(out.scale)}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats an id of pictures and a token of captions; and of the first examples the embeddings, for `finalize`."""
        out, (caption_BS, counts_BS), image_BT = self.outputs_of(params, state, batch, key, train=False)
        valid_B = valid_rows(batch)
        valid_B1 = valid_B[:, None]
        words_BS = jnp.where(counts_BS > 0, batch["caption"], -1)
        table_BK = jnp.concatenate([jnp.ones_like(valid_B1), out.image_BE, out.caption_BE, words_BS], axis=1)
        rows_NK = jnp.zeros((self.candidates, table_BK.shape[1]))
        rows_NK = rows_NK.at[batch.get("row", batch["index"])].add(table_BK * valid_B1, mode="drop")
        return {
            "image_nll": Term.mean(image_BT, jnp.broadcast_to(valid_B1, image_BT.shape)),
            "caption_nll": Term.mean(caption_BS, counts_BS * valid_B1),
            "pairs": Term(rows_NK, valid_B.sum()),
        }

    def finalize(self, metrics: dict) -> dict[str, float]:
        """R@1, R@5 and R@10 in both directions; see `contrastive.recalls`."""
        metrics = dict(metrics)
        rows_NK = np.asarray(metrics.pop("pairs"))
        rows_NK = rows_NK[rows_NK[:, 0] > 0]
        if not len(rows_NK):
            return metrics
        _, image_NE, caption_NE, words_NS = np.split(
            rows_NK / rows_NK[:, :1], np.cumsum([1, self.shared, self.shared]), axis=1
        )
        return metrics | recalls(image_NE, caption_NE, np.rint(words_NS))

    # How well captions and pictures fit.

    def score(self, params: Params, state: Tree, batch: Batch) -> Array:
        """(B,) the cosine between picture and caption in the space that they share."""
        length_B = lengths_of(batch)
        image_BPD = self.apply(params, batch["image"], method="read_image")
        caption_BSD = self.apply(params, batch["caption"], length_B, method="read_caption")
        image_BE = self.apply(params, image_BPD=image_BPD, method="embed")
        return (image_BE * self.apply(params, caption_BSD=caption_BSD, length_B=length_B, method="embed")).sum(-1)

    # What it makes.

    def check(self, options: CrossModalOptions) -> CrossModalOptions:
        if options.guidance != 1.0 and not self.text_dropout:
            raise UsageError(
                f"--guidance {options.guidance}: this model cannot be guided; that takes training with "
                "--model.text-dropout above 0"
            )
        return super().check(options)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        directions = ("image-to-caption", "caption-to-image")
        return {direction: CrossModalOptions(direction=direction) for direction in directions}

    def needs(self, options: CrossModalOptions) -> tuple[str, ...]:
        return () if options.prompt or options.image else (options.source,)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"image": Image(*self.image_shape), "caption": spec.fields["caption"]}

    def layout(self, options: CrossModalOptions) -> Layout:
        """The caption stands under its picture, and beside that the picture made of the caption again."""
        return Layout(("given.image", "image", "caption") if options.source == "image" else ("image", "given.caption"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: CrossModalOptions
    ) -> dict[str, Array]:
        """`caption` (N, S), `caption_length` (N,) of `image` (N, H, W, C) and, made of them, pictures again; or
        pictures of captions, and their captions again."""
        if options.source not in conditions:
            raise UserError(f"{options.direction} takes the field {options.source}, and none was given")
        made = {"caption": conditions.get("caption"), "caption_length": lengths_of(conditions)}
        if options.source == "image":
            made = captioned(self, params, conditions["image"], options)
        image = drawn(self, params, state, key, conditions["index"], made, options)
        return {"image": image, **(captioned(self, params, image, options) if options.source == "caption" else made)}
