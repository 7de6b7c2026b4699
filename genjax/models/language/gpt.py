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

from genjax.errors import UsageError, UserError
from genjax.interop.gpt2 import GPT2
from genjax.interop.llama import LLAMA
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
from genjax.models.language.continued import continued, prompts
from genjax.models.language.options import GPTOptions, require_ids
from genjax.models.language.targets import answered, cross_entropy, seen, target_weight
from genjax.networks import transformer
from genjax.networks.language import Decoder
from genjax.nn.attention import Mask
from genjax.registry import register
from genjax.spec import DataSpec, Field, Tokens, require

__all__ = ["GPT", "GPTOptions", "cross_entropy"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class GPT(transformer.Config, Model):
    """One entry, "decoder"; one turn, "next_token". The loss is in nats per target token.

    Targets are the ids after the first of `tokens`. Not all count: those that the batch's `mask` leaves out, what is no
    answer where the data says what is one, padding, and the first of each text that shares a row do not.
    """

    z_loss: float = 0.0  # weight of log(sum of exp(logits))^2, which keeps logits small (PaLM, arXiv:2204.02311)
    data_vocabulary: int | None = None  # None = the data's; the model's own ids from there on are never drawn

    Options: ClassVar = GPTOptions
    rules: ClassVar = tuple((f"decoder/{path}", spec) for path, spec in transformer.RULES)
    families: ClassVar = (GPT2, LLAMA)

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.z_loss < math.inf:
            raise UsageError(f"GPT: z_loss is {self.z_loss}, must be 0 or positive")
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
            mask=seen(batch),
            rngs={"dropout": key},
        )
        nats_BT = cross_entropy(logits_BTV, batch["tokens"][:, 1:])
        weight_BT = target_weight(batch)
        terms = {"cross_entropy": Term.mean(nats_BT, weight_BT)}
        if self.z_loss:
            terms["z"] = Term.mean(jax.nn.logsumexp(logits_BTV, axis=-1) ** 2, weight_BT, self.z_loss)
        return LossOutput(terms, {}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats per token, accuracy, bits per byte where the data counts bytes, and `answered` of instructions."""
        targets_BT = batch["tokens"][:, 1:]
        logits_BTV = self.logits(params, batch["tokens"][:, :-1], mask=seen(batch))
        weight_BT = target_weight(batch) * valid_rows(batch)[:, None]
        nats_BT = cross_entropy(logits_BTV, targets_BT)
        metrics = {
            "loss": Term.mean(nats_BT, weight_BT),
            "accuracy": Term.mean(jnp.argmax(logits_BTV, axis=-1) == targets_BT, weight_BT),
        }
        if "bytes" in batch:
            metrics["bits_per_byte"] = Term(metrics["loss"].total / math.log(2), (batch["bytes"] * weight_BT).sum())
        return metrics | answered(batch, logits_BTV, nats_BT, valid_rows(batch))

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": GPTOptions(max_new_tokens=256)}

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        tokens = require(spec, "tokens", Tokens, "GPT")
        return {"tokens": dataclasses.replace(tokens, shifted=False, packed=False, ragged=True, answers=False)}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: GPTOptions
    ) -> dict[str, Array]:
        """Continues prompts, or a start token, by ids that the data has; see `continued` for conditions and outputs.

        Raises:
          UsageError: options hold texts; a prompt fills the context, and nothing says how much to write; beam search
            has no room, as its texts cannot move on in the context.
        """
        require_ids(options)
        long = prompts(conditions)[0].shape[1]
        if options.max_new_tokens is None and 1 < long >= self.context - 1:
            raise UsageError(
                f"a prompt of {long} tokens leaves no room in the context of {self.context}: shorten it, or say how "
                "much to write with --max-new-tokens, and its beginning is forgotten on the way"
            )
        new_tokens = options.max_new_tokens or max(1, self.context - long)
        if options.beams > 1 and long + new_tokens > self.context:
            raise UsageError(
                f"--beams: {long} tokens of prompt and {new_tokens} new ones do not fit the context of "
                f"{self.context}: lower --max-new-tokens"
            )
        slots = min(self.context, long + new_tokens)
        decoder, known = self.networks()["decoder"], self.data_vocabulary or self.vocabulary

        def extend(tokens_NT, cache, start):
            logits_NTV, cache = decoder.apply({"params": params["decoder"]}, tokens_NT, cache=cache, start=start)
            return jnp.where(jnp.arange(logits_NTV.shape[-1]) < known, logits_NTV, -jnp.inf), cache

        def empty(rows: int) -> transformer.Caches:
            return transformer.empty_cache(self, rows, slots)

        how = {"new_tokens": new_tokens, "context": self.context, "reorder": transformer.Caches.rows}
        return continued(extend, empty, key, conditions, options, **how)
