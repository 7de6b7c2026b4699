"""GPT: a decoder-only transformer trained to predict the next token; by default GPT-2's architecture exactly.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". Initialization is nanoGPT's:
matrices and learned positions N(0, 0.02), projections onto the residual stream smaller by sqrt(2 layers) as
the paper says (OpenAI's released code has 0.01 for positions and leaves the projections at 0.02). Dropout
acts on the embeddings and on both residual branches; GPT-2's third place, the attention probabilities, has
none, because flash kernels cannot draw noise that belongs to the example.
"""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.decoding.beam import beam_search
from genjax.decoding.generate import generate
from genjax.errors import UsageError, UserError
from genjax.models.base import (
    Array,
    Batch,
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
from genjax.models.language.options import GPTOptions, require_ids
from genjax.networks import transformer
from genjax.networks.language import Decoder
from genjax.nn.attention import Mask, choose
from genjax.nn.stack import unroll_on
from genjax.registry import register
from genjax.spec import DataSpec, Field, Tokens, require

__all__ = ["GPT", "GPTOptions", "cross_entropy"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class GPT(transformer.Config, Model):
    """One entry, "decoder"; one turn, "next_token". The loss is in nats per target token.

    Targets are the ids after the first of `tokens`; those that the batch's `mask` leaves out, padding and the first of
    each text that shares a row do not count.
    """

    data_vocabulary: int | None = None  # None = the data's; the model's own ids from there on are never drawn

    Options: ClassVar = GPTOptions
    rules: ClassVar = tuple((f"decoder/{path}", spec) for path, spec in transformer.RULES)

    def __post_init__(self):
        super().__post_init__()
        if self.data_vocabulary is not None and self.data_vocabulary < 1:
            raise UsageError(f"GPT: data_vocabulary is {self.data_vocabulary}, must be positive")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("next_token", trains=("decoder",)),)

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": Decoder(self)}

    def expects(self) -> dict[str, Field]:
        vocabulary = self.data_vocabulary or self.vocabulary
        return {"tokens": Tokens((self.context,), vocabulary, shifted=True)} if self.context and vocabulary else {}

    def resolve(self, spec: DataSpec) -> "GPT":
        tokens = require(spec, "tokens", Tokens, "GPT")
        for name, ours, data in (
            ("context", self.context, tokens.longest),
            ("vocabulary", self.vocabulary, tokens.vocabulary),
        ):
            if ours is not None and ours < data:
                raise UserError(f"GPT's {name} {ours} is less than the data's {data}: set --model.{name} {data}")
        require_agreement(self, data_vocabulary=tokens.vocabulary)
        return dataclasses.replace(
            self,
            context=self.context or tokens.longest,
            vocabulary=self.vocabulary or tokens.vocabulary,
            data_vocabulary=tokens.vocabulary,
        )

    def on(self, platform: str) -> "GPT":
        return dataclasses.replace(
            self,
            attention=choose(self.attention, platform, self.dtype),
            unroll=unroll_on(platform, self.layers) if self.unroll is None else self.unroll,
        )

    @property
    def stack(self) -> "GPT":
        return self

    def with_stack(self, **fields) -> "GPT":
        return dataclasses.replace(self, **fields)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        return {"decoder": self.networks()["decoder"].init(key, jnp.zeros((1, 1), jnp.int32))["params"]}, {}

    def logits(self, params: Params, tokens_BT: Array, *, mask: Mask = Mask(causal=True)) -> Array:
        """(B, T, padded vocabulary) float32."""
        return self.networks()["decoder"].apply({"params": params["decoder"]}, tokens_BT, mask=mask)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        require_turn(self, turn)
        logits_BTV = self.networks()["decoder"].apply(
            {"params": params["decoder"]},
            batch["tokens"][:, :-1],
            batch["index"] if train and self.dropout else None,
            mask=_mask(batch),
            rngs={"dropout": key},
        )
        nats_BT = cross_entropy(logits_BTV, batch["tokens"][:, 1:])
        return LossOutput({"cross_entropy": Term.mean(nats_BT, _target_weight(batch))}, {}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Loss in nats per token, accuracy, and bits per byte where the data counts bytes."""
        targets_BT = batch["tokens"][:, 1:]
        logits_BTV = self.logits(params, batch["tokens"][:, :-1], mask=_mask(batch))
        weight_BT = _target_weight(batch) * valid_rows(batch)[:, None]
        nats_BT = cross_entropy(logits_BTV, targets_BT)
        metrics = {
            "loss": Term.mean(nats_BT, weight_BT),
            "accuracy": Term.mean(jnp.argmax(logits_BTV, axis=-1) == targets_BT, weight_BT),
        }
        if "bytes" in batch:
            metrics["bits_per_byte"] = Term(metrics["loss"].total / math.log(2), (batch["bytes"] * weight_BT).sum())
        return metrics

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": GPTOptions(max_new_tokens=256)}

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        tokens = require(spec, "tokens", Tokens, "GPT")
        return {"tokens": dataclasses.replace(tokens, shifted=False, packed=False, ragged=True)}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: GPTOptions
    ) -> dict[str, Array]:
        """Continues prompts, or a start token, by ids that the data has; see `genjax.decoding`.

        Conditions:
          index (N,): rows draw their own noise from it.
          prompt (N, P) int32 padded on the right, prompt_length (N,) int32 from 1 to P. Without them
          start (N,) int32, the token before the text (end of text, or a newline); 0 where absent.
          stop (), (N,) or (N, S) int32: the ids that end a row, negative or absent for none.

        Returns:
          tokens (N, P + new), prompt or start token included; tokens_length (N,), the stop token included.

        Raises:
          UsageError: options hold texts; beam search has no room, as its texts cannot move on in the context.
        """
        require_ids(options)
        index_N = conditions["index"]
        n = index_N.shape[0]
        if "prompt" in conditions:
            prompt_NP = conditions["prompt"].astype(jnp.int32)
            length_N = jnp.maximum(conditions["prompt_length"].astype(jnp.int32), 1)
        else:
            prompt_NP = jnp.broadcast_to(conditions.get("start", 0), (n,)).astype(jnp.int32)[:, None]
            length_N = jnp.ones((n,), jnp.int32)
        new_tokens = options.max_new_tokens or max(1, self.context - prompt_NP.shape[1])
        total = prompt_NP.shape[1] + new_tokens
        stop = jnp.asarray(conditions.get("stop", -1))
        given = {"new_tokens": new_tokens, "stop_N": stop if stop.ndim == 2 else jnp.broadcast_to(stop, (n,))}
        decoder, known = self.networks()["decoder"], self.data_vocabulary or self.vocabulary

        def extend(tokens_NT, cache, start):
            logits_NTV, cache = decoder.apply({"params": params["decoder"]}, tokens_NT, cache=cache, start=start)
            return jnp.where(jnp.arange(logits_NTV.shape[-1]) < known, logits_NTV, -jnp.inf), cache

        if options.beams > 1:
            if total > self.context:
                raise UsageError(
                    f"--beams: {prompt_NP.shape[1]} tokens of prompt and {new_tokens} new ones do not fit "
                    f"the context of {self.context}: lower --max-new-tokens"
                )
            cache = transformer.empty_cache(self, n * options.beams, total)
            found = beam_search(
                extend,
                transformer.Caches.rows,
                cache,
                prompt_NP,
                length_N,
                beams=options.beams,
                length_penalty=options.length_penalty,
                **given,
            )
            return {"tokens": found.tokens_NKT[:, 0], "tokens_length": found.length_NK[:, 0]}
        tokens_NT, length_N = generate(
            extend,
            transformer.empty_cache(self, n, min(self.context, total)),
            prompt_NP,
            length_N,
            key,
            index_N,
            context=self.context,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            **given,
        )
        return {"tokens": tokens_NT, "tokens_length": length_N}


def cross_entropy(logits_BTV: Array, target_BT: Array) -> Array:
    """(B, T) nats: -log softmax(logits)[target].

    The target's logit is a sum with one term, not a look-up: the gradient of a look-up is a scatter, for which a GPU
    writes the gradient of all logits twice in float32.
    """
    right_BTV = jnp.arange(logits_BTV.shape[-1]) == target_BT[..., None]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - jnp.where(right_BTV, logits_BTV, 0).sum(-1)


def _mask(batch: Batch) -> Mask:
    """What each input of `tokens` sees: its own text up to itself."""
    segment_BT = batch.get("tokens_segment")
    return Mask(causal=True, segments_BT=None if segment_BT is None else segment_BT[:, :-1])


def _target_weight(batch: Batch) -> Array:
    """(B, T) float32: 1 for the targets that count."""
    weight_BT = jnp.ones_like(batch["tokens"][:, 1:], jnp.float32)
    if "mask" in batch:
        weight_BT *= batch["mask"]
    if "tokens_length" in batch:
        weight_BT *= jnp.arange(1, weight_BT.shape[1] + 1) < batch["tokens_length"][:, None]
    if "tokens_segment" in batch:
        weight_BT *= batch["tokens_segment"][:, 1:] == batch["tokens_segment"][:, :-1]
    return weight_BT
