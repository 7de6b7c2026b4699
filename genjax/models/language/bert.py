"""BERT (Devlin et al. 2019, arXiv:1810.04805): an encoder that learns to fill in words that are hidden from it."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.interop.bert import BERT_FAMILY
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
from genjax.models.language.bert_options import BERTOptions
from genjax.models.language.gpt import cross_entropy
from genjax.networks import transformer
from genjax.networks.language import Encoder
from genjax.networks.pooled import MaskedHead, Pooler, pooled
from genjax.nn import noise
from genjax.nn.attention import Mask
from genjax.nn.feed import Activation
from genjax.registry import register
from genjax.spec import DataSpec, Field, Tokens, require

__all__ = ["BERT", "BERTOptions"]

KINDS = 2  # of sentences


class Read(NamedTuple):
    """Texts as the encoder reads them: [CLS] text [SEP], or [CLS] text [SEP] text [SEP]."""

    ids_BT: Array
    length_B: Array
    kind_BT: Array
    own_BT: Array  # bool: words of a text
    apart_B: Array  # int32: 1 where the second text does not follow the first


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class BERT(transformer.Config, Model):
    """Entries "encoder", "head" (of hidden words) and, with `next_sentence`, "pooler"; one turn, "fill".

    The loss is in nats per hidden word, plus nats per pair of texts. Of a window of 3 n words the first text is the
    first n, and the second, at odds of 1:1, the n that follow or the n after these.

    `part` "encoder" is the encoder with its pooler alone, as Hugging Face's `BertModel`: for embeddings.
    """

    order: Literal["pre", "post"] = "post"
    mlp: Activation = "gelu_exact"
    eps: float = 1e-12
    next_sentence: bool = False
    part: Literal["all", "encoder"] = "all"
    hidden_share: float = 0.15  # of the words, of which 80% become [MASK], 10% another word, 10% stay (section 3.1)
    word_breaks: tuple[int, ...] = ()  # ids between words, which are hidden as a whole (bytes: 10 32); () = any token
    data_vocabulary: int | None = None  # None = the data's
    mask_id: int | None = None  # None = the first id after the data's; [CLS] and [SEP] are the next ones
    cls_id: int | None = None
    sep_id: int | None = None

    Options: ClassVar = BERTOptions
    families: ClassVar = (BERT_FAMILY,)
    rules: ClassVar = tuple((f"encoder/{path}", spec) for path, spec in transformer.RULES)

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.hidden_share < 1:
            raise UsageError(f"BERT: hidden_share is {self.hidden_share}, must be in (0, 1)")

    @property
    def turns(self) -> tuple[Turn, ...]:
        trains = ("encoder", "head", *(["pooler"] if self.next_sentence else []))
        return () if self.part == "encoder" else (Turn("fill", trains=trains),)

    def networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"encoder": Encoder(self, kinds=KINDS)}
        if self.part == "all":
            networks["head"] = MaskedHead(self)
        if self.next_sentence or self.part == "encoder":
            networks["pooler"] = Pooler(self.width, self.next_sentence)
        return networks

    def expects(self) -> dict[str, Field]:
        if not (self.context and self.data_vocabulary):
            return {}
        return {"tokens": Tokens((self.context - 2,), self.data_vocabulary, shifted=True)}

    def resolve(self, spec: DataSpec) -> "BERT":
        tokens = require(spec, "tokens", Tokens, "BERT")
        if self.next_sentence and (tokens.longest % 3 or tokens.ragged):
            raise UserError("BERT: next_sentence needs windows of one long text, of a --data.context that 3 divides")
        longest = tokens.longest // 3 * 2 + 3 if self.next_sentence else tokens.longest + 2
        known = tokens.vocabulary
        ids = {name: getattr(self, name) for name in ("mask_id", "cls_id", "sep_id")}
        ids = {name: known + n if given is None else given for n, (name, given) in enumerate(ids.items())}
        needed = max(known, *(given + 1 for given in ids.values()))
        for name, ours, data in (("context", self.context, longest), ("vocabulary", self.vocabulary, needed)):
            if ours is not None and ours < data:
                raise UserError(
                    f"BERT's {name} {ours} is less than the {data} that this data needs: set --model.{name} {data}"
                    + ", or --model.mask-id, --model.cls-id and --model.sep-id to those of its ids"
                    * (name != "context")
                )
        require_agreement(self, data_vocabulary=known)
        sizes = {"context": self.context or longest, "vocabulary": self.vocabulary or needed}
        return dataclasses.replace(self, data_vocabulary=known, **ids, **sizes)

    @property
    def room(self) -> int:
        """The words of a single text."""
        return self.context - 2

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        x_11D, keys = jnp.zeros((1, 1, self.width)), iter(jax.random.split(key, 3))
        table_VD = jnp.zeros((self.padded_vocabulary, self.width))
        inputs = {"encoder": (jnp.zeros((1, 1), jnp.int32),), "head": (x_11D, table_VD), "pooler": (x_11D[0],)}
        return {
            name: network.init(next(keys), *inputs[name])["params"] for name, network in self.networks().items()
        }, {}

    def features(self, params: Params, read: Read, index_B: Array | None = None, key: Array | None = None) -> Array:
        """(B, T, D) of all positions; with `index_B` and `key` under dropout."""
        return self.networks()["encoder"].apply(
            {"params": params["encoder"]},
            read.ids_BT,
            index_B,
            mask=Mask(lengths_B=read.length_B),
            kind_BT=read.kind_BT,
            rngs=None if index_B is None else {"dropout": key},
        )

    def single(self, ids_BT: Array, length_B: Array) -> Read:
        """[CLS] text [SEP] of texts (B, T) of these lengths."""
        place_T = jnp.arange(ids_BT.shape[1] + 2)
        ids_BT = jnp.pad(ids_BT, ((0, 0), (1, 1)), constant_values=self.cls_id)
        ids_BT = jnp.where(place_T > length_B[:, None], self.sep_id, ids_BT)
        own_BT = (place_T > 0) & (place_T <= length_B[:, None])
        return Read(ids_BT, length_B + 2, jnp.zeros_like(ids_BT), own_BT, jnp.zeros_like(length_B))

    def read(self, batch: Batch, key: Array) -> Read:
        """The batch's texts; with `next_sentence` in pairs, which the key draws."""
        field_BT = batch["tokens"]
        ids_BT = field_BT if "prompt" in batch else field_BT[:, :-1]
        b, t = ids_BT.shape
        if not self.next_sentence:
            length_B = jnp.minimum(batch.get("tokens_length", jnp.full((b,), t)), t)
            return self.single(ids_BT, length_B)
        n = t // 3
        apart_B = (noise.uniform(jax.random.fold_in(key, 1), batch["index"]) < 0.5).astype(jnp.int32)
        second_BN = jnp.where(apart_B[:, None], ids_BT[:, 2 * n : 3 * n], ids_BT[:, n : 2 * n])
        cls_B1, sep_B1 = (jnp.full((b, 1), given, jnp.int32) for given in (self.cls_id, self.sep_id))
        ids_BT = jnp.concatenate([cls_B1, ids_BT[:, :n], sep_B1, second_BN, sep_B1], axis=1)
        place_T = jnp.arange(2 * n + 3)
        own_T = (place_T > 0) & (place_T != n + 1) & (place_T < 2 * n + 2)
        kind_BT, own_BT = (jnp.broadcast_to(x_T, ids_BT.shape) for x_T in ((place_T > n + 1).astype(jnp.int32), own_T))
        return Read(ids_BT, jnp.full((b,), 2 * n + 3), kind_BT, own_BT, apart_B)

    def hide(self, read: Read, index_B: Array, key: Array) -> tuple[Read, Array]:
        """The texts with words hidden, and (B, T) which ones are to be filled in.

        Of n words round(n hidden_share), at least one, as in the authors' code. What stands between `word_breaks` is
        hidden at that probability, as a whole.
        """
        draw_BT, how, other = jnp.moveaxis(noise.uniform(key, index_B, (*read.ids_BT.shape[1:], 3)), -1, 0)
        if self.word_breaks:
            breaks_BT = jnp.isin(read.ids_BT, jnp.asarray(self.word_breaks)) | ~read.own_BT
            draw_BT = jnp.take_along_axis(draw_BT, jnp.cumsum(breaks_BT, axis=1) % draw_BT.shape[1], axis=1)
            chosen_BT = (draw_BT < self.hidden_share) & ~breaks_BT
        else:
            draw_BT = jnp.where(read.own_BT, draw_BT, 1.0)  # the last of all
            count_B = jnp.maximum(1, jnp.round(self.hidden_share * read.own_BT.sum(axis=1))).astype(jnp.int32)
            chosen_BT = draw_BT < jnp.take_along_axis(jnp.sort(draw_BT, axis=1), count_B[:, None], axis=1)
        random_BT = (other * self.data_vocabulary).astype(jnp.int32)
        shown_BT = jnp.where(how < 0.8, self.mask_id, jnp.where(how < 0.9, random_BT, read.ids_BT))
        return read._replace(ids_BT=jnp.where(chosen_BT, shown_BT, read.ids_BT)), chosen_BT

    def logits(self, params: Params, x_BTD: Array) -> Array:
        """(B, T, padded vocabulary) of the words at the positions of these features, float32."""
        return self.networks()["head"].apply({"params": params["head"]}, x_BTD, params["encoder"]["embedding"])

    def judged(self, params: Params, batch: Batch, key: Array, train: bool) -> tuple[dict[str, Term], dict[str, Term]]:
        """The two terms of the loss, and the share of hidden words, and of pairs, that are guessed right."""
        index_B, valid_B = batch["index"], valid_rows(batch)
        whole = self.read(batch, key)
        shown, chosen_BT = self.hide(whole, index_B, jax.random.fold_in(key, 2))
        x_BTD = self.features(params, shown, index_B if train and self.dropout else None, jax.random.fold_in(key, 3))
        words = x_BTD.shape[1] - 2
        most = words if self.word_breaks else max(1, round(self.hidden_share * words))  # the head reads no others
        hidden_BK, place_BK = jax.lax.top_k(chosen_BT.astype(jnp.float32), most)
        logits_BKV = self.logits(params, jnp.take_along_axis(x_BTD, place_BK[:, :, None], axis=1))
        ids_BK = jnp.take_along_axis(whole.ids_BT, place_BK, axis=1)
        weight_BK = hidden_BK * valid_B[:, None]
        terms = {"masked": Term.mean(cross_entropy(logits_BKV, ids_BK), weight_BK)}
        right = {"accuracy": Term.mean(logits_BKV.argmax(-1) == ids_BK, weight_BK)}
        if self.next_sentence:
            pooler = self.networks()["pooler"]
            logits_B2 = pooler.apply({"params": params["pooler"]}, x_BTD[:, 0].astype(jnp.float32))
            terms["next_sentence"] = Term.mean(cross_entropy(logits_B2, whole.apart_B), valid_B)
            right["next_accuracy"] = Term.mean(logits_B2.argmax(-1) == whole.apart_B, valid_B)
        return terms, right

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        require_turn(self, turn)
        return LossOutput(*self.judged(params, batch, key, train), state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats per hidden word ("loss") and, with pairs, per pair; and what is guessed right."""
        terms, right = self.judged(params, batch, key, train=False)
        return {"loss": terms.pop("masked"), **terms, **right}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {} if self.part == "encoder" else {"sample": BERTOptions()}

    def needs(self, options: BERTOptions) -> tuple[str, ...]:
        return () if options.prompt else ("tokens",)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        tokens = require(spec, "tokens", Tokens, "BERT")
        text = dataclasses.replace(tokens, lengths=(self.room,), vocabulary=self.vocabulary, shifted=False, ragged=True)
        return {"tokens": text} if self.part == "encoder" else {"masked": text, "tokens": text}

    def layout(self, options: BERTOptions) -> Layout:
        return Layout(("tokens",) if options.prompt or self.part == "encoder" else ("masked", "tokens"))

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: BERTOptions
    ) -> dict[str, Array]:
        """Texts with their gaps filled in: `masked` and `tokens` (N, T), each with its length (N,).

        The first gap gets the word of rank `rank` (N,), 0 the likeliest, the others their likeliest. Of `tokens` of the
        data a share is hidden. `embedding_mean` and `embedding_cls` (N, D) are of the text as it was read. The encoder
        alone fills nothing, and reads texts as they are.
        """
        if "prompt" in conditions:
            shown = self.single(conditions["prompt"], conditions["prompt_length"])
        else:
            shown = self.read(conditions, key)
            if self.part == "all":
                shown, _ = self.hide(shown, conditions["index"], jax.random.fold_in(key, 2))
        x_NTD = self.features(params, shown)
        own, length_N = slice(1, self.room + 1), shown.length_B - 2
        read = {
            "tokens": shown.ids_BT[:, own],
            "tokens_length": length_N,
            "embedding_mean": pooled(x_NTD, shown.length_B, "mean"),
            "embedding_cls": pooled(x_NTD, shown.length_B, "cls"),
        }
        if self.part == "encoder":
            return read
        known = jnp.arange(self.padded_vocabulary) < self.data_vocabulary
        logits_NTV = jnp.where(known, self.logits(params, x_NTD), -jnp.inf)
        gap_NT = shown.ids_BT == self.mask_id
        first_NT = gap_NT & (jnp.cumsum(gap_NT, axis=1) == 1)
        rank_N = conditions.get("rank", jnp.zeros(len(gap_NT), jnp.int32))
        logits_NV = jnp.take_along_axis(logits_NTV, first_NT.argmax(1)[:, None, None], axis=1)[:, 0]
        ranked_NV = jnp.argsort(-logits_NV, axis=-1)
        first_N = jnp.take_along_axis(ranked_NV, rank_N[:, None], axis=1)
        filled_NT = jnp.where(first_NT, first_N, jnp.where(gap_NT, logits_NTV.argmax(-1), shown.ids_BT))
        return read | {
            "masked": shown.ids_BT[:, own],
            "masked_length": length_N,
            "tokens": filled_NT[:, own].astype(jnp.int32),
            "probability": jnp.take_along_axis(jax.nn.softmax(logits_NV), first_N, axis=1)[:, 0],
        }
