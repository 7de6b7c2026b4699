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
            stream=options.stream,
            **given,
        )
        return {"tokens": tokens_NT, "tokens_length": length_N}
