"""A classifier of texts: a transformer encoder (Vaswani et al. 2017), pooled, and a linear layer.

The encoder is BERT's (Devlin et al. 2019, section 3) by order="post", mlp="gelu_exact", eps=1e-12 and kinds=2. It may
start from a BERT of the same sizes, `--train.init-from encoder=RUN` or encoder=hf:FOLDER: fine-tuning, or with
`--train.freeze encoder` a linear classifier of its features.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.errors import UserError
from genjax.interop.bert import BERT_ENCODER
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
    require_agreement,
    require_turn,
    valid_rows,
)
from genjax.models.language.text_classifier_options import TextClassifierOptions
from genjax.networks import transformer
from genjax.networks.language import Encoder
from genjax.networks.pooled import Head, Pooling, pooled
from genjax.nn.attention import Mask
from genjax.registry import register
from genjax.spec import DataSpec, Field, Label, Tokens, require

__all__ = ["TextClassifier"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextClassifier(transformer.Config, Model):
    """p(label | text); entries "encoder" and "head", turn "classify": cross-entropy in nats a text.

    With pooling="cls" a text is read behind the id `cls_id`, whose last features are judged.
    """

    pooling: Pooling = "mean"
    kinds: int = 0  # rows of the table of sentences that BERT's encoder has (2)
    classes: int | None = None  # None = the data's
    data_vocabulary: int | None = None  # None = the data's; an encoder that is started from may know more ids
    cls_id: int | None = None  # before each text, with pooling="cls"; None = the id that ends the data's texts

    Options: ClassVar = TextClassifierOptions
    families: ClassVar = (BERT_ENCODER,)
    best: ClassVar = ("accuracy", "max")
    baseline: ClassVar = ("text", "label")  # also judged by what words and letters say; see evaluation/baseline.py
    rules: ClassVar = tuple((f"encoder/{path}", spec) for path, spec in transformer.RULES)

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("classify", trains=("encoder", "head")),)

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": Encoder(self, kinds=self.kinds), "head": Head(self.classes, self.dropout)}

    def expects(self) -> dict[str, Field]:
        if not (self.context and self.vocabulary and self.classes):
            return {}
        longest, vocabulary = self.context - (self.pooling == "cls"), self.data_vocabulary or self.vocabulary
        return {"text": Tokens((longest,), vocabulary, ragged=True, end=0), "label": Label(self.classes)}

    def resolve(self, spec: DataSpec) -> "TextClassifier":
        text = require(spec, "text", Tokens, "TextClassifier")
        classes = require(spec, "label", Label, "TextClassifier").classes
        longest = text.longest + (self.pooling == "cls")
        for name, ours, data in (("context", self.context, longest), ("vocabulary", self.vocabulary, text.vocabulary)):
            if ours is not None and ours < data:
                raise UserError(
                    f"TextClassifier's {name} {ours} is less than the data's {data}: set --model.{name} {data}"
                )
        require_agreement(self, classes=classes, data_vocabulary=text.vocabulary)
        if self.pooling == "cls" and text.end is None and self.cls_id is None:
            raise UserError("TextClassifier: texts without an end of their own need --model.pooling mean")
        return dataclasses.replace(
            self,
            context=self.context or longest,
            vocabulary=self.vocabulary or text.vocabulary,
            data_vocabulary=text.vocabulary,
            classes=classes,
            cls_id=text.end if self.cls_id is None else self.cls_id,
        )

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        networks, keys = self.networks(), jax.random.split(key)
        encoder = networks["encoder"].init(keys[0], jnp.zeros((1, 1), jnp.int32))["params"]
        head = networks["head"].init(keys[1], jnp.zeros((1, self.width)))["params"]
        return {"encoder": encoder, "head": head}, {}

    def read(self, batch: Batch) -> tuple[Array, Array]:
        """Ids (B, T) and their lengths (B,), behind the id that is judged where there is one."""
        text_BT, length_B = batch["text"], batch.get("text_length")
        length_B = jnp.full(text_BT.shape[:1], text_BT.shape[1]) if length_B is None else length_B
        if self.pooling == "mean":
            return text_BT, length_B
        return jnp.pad(text_BT, ((0, 0), (1, 0)), constant_values=self.cls_id), length_B + 1

    def logits(self, params: Params, batch: Batch, index_B: Array | None = None, key: Array | None = None) -> Array:
        """(B, classes) float32; with `index_B` and `key` under dropout."""
        text_BT, length_B = self.read(batch)
        networks, rngs = self.networks(), None if index_B is None else {"dropout": key}
        encoder, head = ({"params": params[name]} for name in ("encoder", "head"))
        x_BTD = networks["encoder"].apply(encoder, text_BT, index_B, mask=Mask(lengths_B=length_B), rngs=rngs)
        return networks["head"].apply(head, pooled(x_BTD, length_B, self.pooling), index_B, rngs=rngs)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        require_turn(self, turn)
        logits_BK = self.logits(params, batch, batch["index"] if train and self.dropout else None, key)
        nll_B = optax.softmax_cross_entropy_with_integer_labels(logits_BK, batch["label"])
        right_B = logits_BK.argmax(-1) == batch["label"]
        return LossOutput({"nll": Term.mean(nll_B)}, {"accuracy": Term.mean(right_B.astype(jnp.float32))}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """-log p(label | text), the share of texts whose likeliest class is their own, and what F1 is made of."""
        logits_BK, valid_B = self.logits(params, batch), valid_rows(batch)
        nll_B = optax.softmax_cross_entropy_with_integer_labels(logits_BK, batch["label"])
        said_BK, true_BK = (jax.nn.one_hot(ids, self.classes) for ids in (logits_BK.argmax(-1), batch["label"]))
        right_BK = said_BK * true_BK
        return {
            "nll": Term.mean(nll_B, valid_B),
            "accuracy": Term.mean(right_BK.sum(-1), valid_B),
            "right_K": Term(valid_B @ right_BK, valid_B.sum()),
            "named_K": Term(valid_B @ (said_BK + true_BK), valid_B.sum()),
        }

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """F1 = 2 right / (said + true); its macro average is over the classes that are said or true."""
        right_K, named_K = (metrics.pop(name) for name in ("right_K", "named_K"))
        return {**metrics, "macro_f1": float((2 * right_K[named_K > 0] / named_K[named_K > 0]).mean())}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": TextClassifierOptions(explain=True)}

    def needs(self, options: TextClassifierOptions) -> tuple[str, ...]:
        return () if options.given else ("text", "label")

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"label": spec.fields["label"]}

    def layout(self, options: TextClassifierOptions) -> Layout:
        maps = (("words", ("attention", "gradient"), "given.text"),) if options.explain else ()
        return Layout(("given.text", "label", *([] if options.given else ["given.label"])), maps=maps)

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: TextClassifierOptions
    ) -> dict[str, Array]:
        """The likeliest label (N,) of `text` (N, T), text_length (N,); label_probability (N, classes).

        With `options.explain` also `words` (N, 2, T): the attention that each word gets, and how much it counts for the
        label, each as a share of the largest of its text.
        """
        logits_NK = self.logits(params, conditions)
        label_N = logits_NK.argmax(-1).astype(jnp.int32)
        outputs = {"label": label_N, "label_probability": jax.nn.softmax(logits_NK)}
        if options.explain:
            maps_N2T = jnp.stack([self.attended(params, conditions), self.counting(params, conditions, label_N)], 1)
            outputs["words"] = maps_N2T / jnp.maximum(maps_N2T.max(-1, keepdims=True), 1e-30)
        return outputs

    def attended(self, params: Params, batch: Batch) -> Array:
        """(B, T): the last block's attention to each word, mean over heads and over the positions that are pooled."""
        text_BT, length_B = self.read(batch)
        _, left = self.networks()["encoder"].apply(
            {"params": params["encoder"]}, text_BT, mask=Mask(lengths_B=length_B), mutable=["maps"]
        )
        weights_BTS = left["maps"]["blocks"]["attention"]["weights"][-1].mean(1)
        attended_BS = pooled(weights_BTS, length_B, self.pooling)
        return attended_BS[:, self.pooling == "cls" :]

    def counting(self, params: Params, batch: Batch, label_B: Array) -> Array:
        """(B, T): |x . d logit / d x| of each word's embedding x, "gradient times input" (Shrikumar et al. 2016)."""
        text_BT, length_B = self.read(batch)
        networks, table_VD = self.networks(), params["encoder"]["embedding"]

        def logit(rows_TD: Array, length: Array, label: Array) -> Array:
            """The words' own embeddings are the table, so that each word has its own gradient."""
            ids_1T, lengths_1 = jnp.arange(len(rows_TD))[None], length[None]
            x_1TD = networks["encoder"].apply(
                {"params": params["encoder"]}, ids_1T, mask=Mask(lengths_B=lengths_1), table_VD=rows_TD
            )
            return networks["head"].apply({"params": params["head"]}, pooled(x_1TD, lengths_1, self.pooling))[0, label]

        def one(example: tuple[Array, Array, Array]) -> Array:
            text_T, length, label = example
            rows_TD = table_VD[text_T]
            return jnp.abs((rows_TD * jax.grad(logit)(rows_TD, length, label)).sum(-1)) * (
                jnp.arange(len(text_T)) < length
            )

        return jax.lax.map(one, (text_BT, length_B, label_B))[:, self.pooling == "cls" :]
