"""GPT: a decoder-only transformer trained to predict the next token; by default GPT-2's architecture exactly.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". Initialization is nanoGPT's:
matrices and learned positions N(0, 0.02), projections onto the residual stream smaller by sqrt(2 layers) as
the paper says (OpenAI's released code has 0.01 for positions and leaves the projections at 0.02). Dropout
acts on the embeddings and on both residual branches; GPT-2's third place, the attention probabilities, has
none, because flash kernels cannot draw noise that belongs to the example.
"""

import dataclasses
import math
from typing import ClassVar, Literal

import flax.linen as nn
import jax.numpy as jnp
import optax

from genjax.decoding.generate import generate
from genjax.errors import UsageError, UserError
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
    require_agreement,
    valid_rows,
)
from genjax.networks import transformer
from genjax.nn.attention import Implementation, choose
from genjax.spec import DataSpec

UNROLLED_LAYERS = 12  # on CPU, where a loop costs more than compiling this many copies of the block


@dataclasses.dataclass(frozen=True)
class GPTOptions(SampleOptions):
    """How tokens are drawn: temperature first, then top-k, then top-p."""

    temperature: float = 1.0  # 0 = always the likeliest
    top_k: int = 0  # only the k likeliest; 0 = all
    top_p: float = 1.0  # only the likeliest that together reach this probability; 1 = all
    max_new_tokens: int | None = None  # None = up to the context
    prompt: tuple[str, ...] = ()  # texts to continue
    stop: str | None = None  # a text of one token that ends a sample, as the end-of-text token does where there is one

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise UsageError(f"--top-k {self.top_k}: must be 0 (off) or positive")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p {self.top_p}: must be above 0 and at most 1 (off)")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens}: must be at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GPT(Model):
    """One entry, "decoder"; one turn, "next_token". The loss is in nats per target token.

    Llama's (Touvron et al. 2023) is positions="rope", norm="rms", mlp="swiglu", tied=False, bias=False.
    """

    layers: int = 12
    heads: int = 12
    kv_heads: int | None = None  # grouped-query attention (Ainslie et al. 2023); None = as many as heads
    width: int = 768
    hidden: int | None = None  # of the MLP; None = 4 width
    context: int | None = None  # None = the data's
    vocabulary: int | None = None  # None = the data's
    data_vocabulary: int | None = None  # None = the data's; the model's own ids from there on are never drawn
    dropout: float = 0.0
    positions: Literal["learned", "rope"] = "learned"
    norm: Literal["layer", "rms"] = "layer"
    mlp: Literal["gelu", "swiglu"] = "gelu"
    tied: bool = True  # the head is the embedding
    bias: bool = True
    vocabulary_multiple: int = 128  # ids are padded to it, for the hardware's tiles and `tensor`
    remat: Literal["none", "dots", "full"] = "none"  # recomputed: all but matrix products, or all
    unroll: int | None = None  # blocks compiled into one turn of the loop; None = chosen by platform
    attention: Implementation = "auto"

    Options: ClassVar = GPTOptions
    best: ClassVar = ("loss", "min")
    rules: ClassVar = tuple((f"decoder/{path}", spec) for path, spec in transformer.RULES)

    def __post_init__(self):
        sizes = ("layers", "heads", "kv_heads", "width", "hidden", "context", "vocabulary", "data_vocabulary", "unroll")
        for name in (*sizes, "vocabulary_multiple"):
            if (size := getattr(self, name)) is not None and size < 1:
                raise UsageError(f"GPT: {name} is {size}, must be positive")
        if self.width % self.heads or self.heads % (self.kv_heads or self.heads):
            raise UsageError(
                f"GPT: heads {self.heads} must divide width {self.width}, and kv_heads {self.kv_heads} heads"
            )
        if self.positions == "rope" and self.width // self.heads % 2:
            raise UsageError(f"GPT: rope needs an even width / heads, not {self.width // self.heads}")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"GPT: dropout is {self.dropout}, must be in [0, 1)")

    @property
    def stack(self) -> "GPT":
        return self

    def with_stack(self, **fields) -> "GPT":
        return dataclasses.replace(self, **fields)

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("next_token", trains=("decoder",)),)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": GPTOptions(max_new_tokens=256)}

    @property
    def padded_vocabulary(self) -> int:
        return math.ceil(self.vocabulary / self.vocabulary_multiple) * self.vocabulary_multiple

    def resolve(self, spec: DataSpec) -> "GPT":
        context, vocabulary = require(spec, "context", "GPT"), require(spec, "vocabulary", "GPT")
        for name, ours, data in (
            ("context", self.context, context),
            ("vocabulary", self.vocabulary, vocabulary),
        ):
            if ours is not None and ours < data:
                raise UserError(f"GPT's {name} {ours} is less than the data's {data}: set --model.{name} {data}")
        require_agreement(self, data_vocabulary=vocabulary)
        return dataclasses.replace(
            self,
            context=self.context or context,
            vocabulary=self.vocabulary or vocabulary,
            data_vocabulary=vocabulary,
        )

    def on(self, platform: str) -> "GPT":
        unroll = self.layers if platform == "cpu" and self.layers <= UNROLLED_LAYERS else 1
        return dataclasses.replace(
            self,
            attention=choose(self.attention, platform, self.dtype),
            unroll=unroll if self.unroll is None else self.unroll,
        )

    def config(self) -> transformer.Config:
        """What the network needs to know, with the defaults filled in."""
        return transformer.Config(
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            width=self.width,
            hidden=self.hidden or 4 * self.width,
            context=self.context,
            vocabulary=self.vocabulary,
            padded_vocabulary=self.padded_vocabulary,
            dropout=self.dropout,
            positions=self.positions,
            norm=self.norm,
            mlp=self.mlp,
            tied=self.tied,
            bias=self.bias,
            remat=self.remat,
            unroll=min(self.unroll or 1, self.layers),
            attention=self.attention,
            dtype=self.dtype,
        )

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": transformer.Decoder(self.config())}

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        return {"decoder": self.networks()["decoder"].init(key, jnp.zeros((1, 1), jnp.int32))["params"]}, {}

    def logits(self, params: Params, tokens_BT: Array) -> Array:
        """(B, T, padded vocabulary) float32."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, tokens_BT)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        logits_BTV = self.networks()["decoder"].apply(
            {"params": params["decoder"]},
            batch["tokens"][:, :-1],
            batch["index"] if train and self.dropout else None,
            rngs={"dropout": key},
        )
        nats_BT, weight_BT = cross_entropy(logits_BTV, batch["tokens"][:, 1:]), _target_weight(batch)
        weight = weight_BT.sum()
        return LossOutput((nats_BT * weight_BT).sum() / jnp.maximum(weight, 1.0), weight, {}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, tuple[Array, Array]]:
        """Loss in nats per token, accuracy, and bits per byte where the data counts bytes."""
        targets_BT = batch["tokens"][:, 1:]
        logits_BTV = self.logits(params, batch["tokens"][:, :-1])
        weight_BT = _target_weight(batch) * valid_rows(batch)[:, None]
        nats = (cross_entropy(logits_BTV, targets_BT) * weight_BT).sum()
        correct = ((jnp.argmax(logits_BTV, axis=-1) == targets_BT) * weight_BT).sum()
        metrics = {"loss": (nats, weight_BT.sum()), "accuracy": (correct, weight_BT.sum())}
        if "bytes" in batch:
            metrics["bits_per_byte"] = (nats / math.log(2), (batch["bytes"] * weight_BT).sum())
        return metrics

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: GPTOptions
    ) -> dict[str, Array]:
        """Continues prompts, or a start token, by ids that the data has; see `genjax.decoding.generate.generate`.

        Conditions:
          index (N,): rows draw their own noise from it.
          prompt (N, P) int32 padded on the right, prompt_length (N,) int32 from 1 to P. Without them
          start (N,) int32, the token before the text (end of text, or a newline); 0 where absent.
          stop (), (N,) or (N, S) int32: the ids that end a row, negative or absent for none.

        Returns:
          tokens (N, P + new), prompt or start token included; length (N,), the stop token included.
        """
        index_N = conditions["index"]
        n = index_N.shape[0]
        if "prompt" in conditions:
            prompt_NP = conditions["prompt"].astype(jnp.int32)
            length_N = jnp.maximum(conditions["prompt_length"].astype(jnp.int32), 1)
        else:
            prompt_NP = jnp.broadcast_to(conditions.get("start", 0), (n,)).astype(jnp.int32)[:, None]
            length_N = jnp.ones((n,), jnp.int32)
        new_tokens = options.max_new_tokens or max(1, self.context - prompt_NP.shape[1])
        slots = min(self.context, prompt_NP.shape[1] + new_tokens)
        stop = jnp.asarray(conditions.get("stop", -1))
        decoder, known = self.networks()["decoder"], self.data_vocabulary or self.vocabulary

        def extend(tokens_NT, cache, start):
            logits_NTV, cache = decoder.apply({"params": params["decoder"]}, tokens_NT, cache=cache, start=start)
            return jnp.where(jnp.arange(logits_NTV.shape[-1]) < known, logits_NTV, -jnp.inf), cache

        return generate(
            extend,
            transformer.empty_cache(self.config(), n, slots),
            prompt_NP,
            length_N,
            key,
            index_N,
            new_tokens=new_tokens,
            context=self.context,
            stop_N=stop if stop.ndim == 2 else jnp.broadcast_to(stop, (n,)),
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
        )


def cross_entropy(logits_BTV: Array, target_BT: Array) -> Array:
    """(B, T) nats: -log softmax(logits)[target]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits_BTV, target_BT)


def _target_weight(batch: Batch) -> Array:
    """(B, T) float32: 1 for the targets that count."""
    mask = batch.get("mask")
    return jnp.ones_like(batch["tokens"][:, 1:], jnp.float32) if mask is None else mask.astype(jnp.float32)
