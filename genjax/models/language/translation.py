"""Translation by an encoder and a decoder (Vaswani et al. 2017, arXiv:1706.03762): a text `source` becomes `target`."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import optax

from genjax.decoding.beam import beam_search
from genjax.errors import UsageError, UserError
from genjax.interop.marian import MARIAN
from genjax.interop.t5 import T5
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
    require_turn,
    valid_rows,
)
from genjax.models.language.options import require_ids
from genjax.models.language.translation_options import TranslationOptions
from genjax.networks import transformer
from genjax.networks.language import EncoderDecoder
from genjax.nn.feed import Activation
from genjax.registry import register
from genjax.spec import DataSpec, Field, Tokens, require

__all__ = ["Translation"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Translation(transformer.Config, Model):
    """One entry, "translator"; one turn, "translate". The loss is in nats per target token, label smoothing included.

    The embedding is shared by both languages and the head (section 3.4). The paper's own choices are
    positions="sinusoidal", embedding_scale=width**0.5, order="post" and embedding_norm=False. By default positions are
    learned (it finds no difference, table 3 E), and norms stand before each part, which trains without a long warm-up.
    """

    mlp: Activation = "relu"
    label_smoothing: float = 0.1  # share of the target's probability that all words have
    end: int | None = None  # the id that closes a text; None = the data's
    start: int | None = None  # the id that a translation starts from; None = the one that closes a text

    Options: ClassVar = TranslationOptions
    best: ClassVar = ("nll", "min")
    metrics: ClassVar = ("match",)
    families: ClassVar = (MARIAN, T5)
    rules: ClassVar = tuple(
        (f"translator/{part}{path}", spec) for part in ("encoder/", "decoder/", "") for path, spec in transformer.RULES
    )

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"Translation: label_smoothing is {self.label_smoothing}, must be in [0, 1)")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("translate", trains=("translator",)),)

    def expects(self) -> dict[str, Field]:
        if not (self.context and self.vocabulary):
            return {}
        text = Tokens((self.context,), self.vocabulary, ragged=True, end=self.end or 0)
        return {"source": text, "target": text}

    @property
    def begin(self) -> int:
        """The id that every translation starts from."""
        return self.end if self.start is None else self.start

    def networks(self) -> dict[str, nn.Module]:
        return {"translator": EncoderDecoder(self)}

    def resolve(self, spec: DataSpec) -> "Translation":
        source, target = (require(spec, name, Tokens, "Translation") for name in ("source", "target"))
        if target.end is None:
            raise UsageError("Translation needs texts that end in a token of their own: take another --data.tokenizer")
        longest = max(source.longest, target.longest)
        if self.vocabulary is not None and self.vocabulary < target.vocabulary:
            raise UserError(
                f"Translation's vocabulary {self.vocabulary} is less than the data's {target.vocabulary}: set "
                f"--model.vocabulary {target.vocabulary}"
            )
        return dataclasses.replace(
            self,
            context=max(self.context or 0, longest),
            vocabulary=self.vocabulary or target.vocabulary,
            end=target.end,
        )

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        ids = jnp.zeros((1, 1), jnp.int32)
        return {"translator": self.networks()["translator"].init(key, ids, ids)["params"]}, {}

    def logits(self, params: Params, batch: Batch, index_B: Array | None = None, key: Array | None = None) -> Array:
        """(B, T, padded vocabulary) of each target token, given those before it."""
        before_BT = jnp.pad(batch["target"][:, :-1], ((0, 0), (1, 0)), constant_values=self.begin)
        return self.networks()["translator"].apply(
            {"params": params["translator"]},
            batch["source"],
            before_BT,
            index_B,
            lengths_B=batch.get("source_length"),
            rngs=None if key is None else {"dropout": key},
        )

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Cross-entropy with the smoothed target (1 - e) onehot + e / V (Szegedy et al. 2015, section 7)."""
        require_turn(self, turn)
        logits_BTV = self.logits(params, batch, batch["index"] if train and self.dropout else None, key)
        known_V = jnp.arange(logits_BTV.shape[-1]) < self.vocabulary
        log_BTV = jnp.where(known_V, logits_BTV - nn.logsumexp(logits_BTV, axis=-1, keepdims=True), 0.0)
        right_BT = jnp.take_along_axis(log_BTV, batch["target"][..., None], axis=-1)[..., 0]
        even_BT = log_BTV.sum(-1) / self.vocabulary
        nats_BT = -(1 - self.label_smoothing) * right_BT - self.label_smoothing * even_BT
        weight_BT = target_weight(batch)
        return LossOutput({"smoothed": Term.mean(nats_BT, weight_BT)}, {"nll": Term.mean(-right_BT, weight_BT)}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats per target token without smoothing, and how many tokens are foreseen."""
        logits_BTV = self.logits(params, batch)
        weight_BT = target_weight(batch) * valid_rows(batch)[:, None]
        nats_BT = optax.softmax_cross_entropy_with_integer_labels(logits_BTV, batch["target"])
        right_BT = jnp.argmax(logits_BTV, axis=-1) == batch["target"]
        return {"nll": Term.mean(nats_BT, weight_BT), "accuracy": Term.mean(right_BT, weight_BT)}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": TranslationOptions(attention=True)}

    def needs(self, options: TranslationOptions) -> tuple[str, ...]:
        return () if options.given else ("source", "target")

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return {"target": spec.fields["target"]}

    def layout(self, options: TranslationOptions) -> Layout:
        maps = (("attention", "target", "given.source"),) if options.attention else ()
        if options.path:
            return Layout(("target",), lines=True, maps=maps)
        return Layout(("given.source", "target", *([] if options.given else ["given.target"])), maps=maps)

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: TranslationOptions
    ) -> dict[str, Array]:
        """The likeliest target (N, T), target_length (N,), of `source` (N, S), source_length (N,), by beam search.

        With `options.attention` also `attention` (N, T, S): cross-attention of the last block, the mean of its heads.
        """
        require_ids(options)
        n, new = conditions["source"].shape[0], options.max_new_tokens or self.context - 1
        translator, variables = self.networks()["translator"], {"params": params["translator"]}
        lengths_R = jnp.repeat(conditions["source_length"], options.beams)
        memory_NSD = translator.apply(
            variables, conditions["source"], lengths_B=conditions["source_length"], method="encode"
        )
        start_N1 = jnp.full((n, 1), self.begin, jnp.int32)

        def extend(tokens_RT, cache, start, **memory):
            return translator.apply(
                variables, tokens_RT, cache=cache, start=start, lengths_B=lengths_R, method="decode", **memory
            )

        slots = min(self.context, 1 + new)
        cache = transformer.empty_cache(self, n * options.beams, slots, conditions["source"].shape[1])
        memory_RSD = jnp.repeat(memory_NSD, options.beams, axis=0)
        _, cache = extend(jnp.repeat(start_N1, options.beams, axis=0), cache, 0, memory_BSD=memory_RSD)
        found = beam_search(
            extend,
            transformer.Caches.rows,
            cache,
            start_N1,
            jnp.ones((n,), jnp.int32),
            beams=options.beams,
            new_tokens=slots - 1,
            stop_N=jnp.full((n,), self.end),
            length_penalty=options.length_penalty,
        )
        outputs = {"target": found.tokens_NKT[:, 0, 1:], "target_length": found.length_NK[:, 0] - 1}
        if options.attention:
            _, left = translator.apply(
                variables,
                found.tokens_NKT[:, 0, :-1],
                memory_BSD=memory_NSD,
                lengths_B=conditions["source_length"],
                method="decode",
                mutable=["maps"],
            )
            outputs["attention"] = left["maps"]["decoder"]["blocks"]["memory"]["weights"][-1].mean(1)
        return outputs


def target_weight(batch: Batch) -> Array:
    """(B, T) float32: 1 for the target's own tokens, the one that ends it included; 0 for padding."""
    length_B = batch.get("target_length", jnp.full(batch["target"].shape[:1], batch["target"].shape[1]))
    return (jnp.arange(batch["target"].shape[1]) < length_B[:, None]).astype(jnp.float32)
