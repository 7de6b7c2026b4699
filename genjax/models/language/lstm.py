"""Recurrent language models, LSTM or GRU (Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models").

The text is read in streams (`--data.order streams`): what the layers carry at the end of a window is where the same
row of the next step begins, without gradient: truncated back-propagation through time. Of the paper are variational,
weight and word dropout, tied weights, and both penalties on activations. Windows keep their length, and an average of
weights is `--train.ema-decay`, in place of the paper's random lengths and NT-ASGD.
"""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UserError
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
from genjax.models.language.gpt import cross_entropy
from genjax.models.language.options import GPTOptions, require_ids
from genjax.networks.recurrent import RULES, Carries, RecurrentConfig, RecurrentDecoder, RecurrentOutput
from genjax.registry import register
from genjax.spec import DataSpec, Field, Mask, Tokens, require

__all__ = ["RecurrentLM"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentLM(RecurrentConfig, Model):
    """One entry, "decoder"; one turn, "next_token". The loss is in nats per target token.

    State "carry" holds a row for each row of the batch: `--train.init-from decoder=RUN` leaves it behind, where the new
    run has another batch.
    """

    activation_l2: float = 0.0  # alpha: of the mean square of the last outputs, after dropout (section 4.6)
    slowness: float = 0.0  # beta: of the mean square of their differences in time, before dropout
    context: int | None = None  # tokens a step; None = the data's

    Options: ClassVar = GPTOptions
    rules: ClassVar = tuple((f"decoder/{path}", spec) for path, spec in RULES)

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("next_token", trains=("decoder",)),)

    def networks(self) -> dict[str, nn.Module]:
        return {"decoder": RecurrentDecoder(self)}

    def expects(self) -> dict[str, Field]:
        if not (self.context and self.vocabulary):
            return {}
        return {"tokens": Tokens((self.context,), self.vocabulary, shifted=True), "starts": Mask(())}

    def resolve(self, spec: DataSpec) -> "RecurrentLM":
        tokens = require(spec, "tokens", Tokens, "RecurrentLM")
        if "starts" not in spec.fields or not tokens.shifted or tokens.ragged:
            raise UserError("RecurrentLM reads one long text in streams: --data.order streams")
        require_agreement(self, vocabulary=tokens.vocabulary, context=tokens.longest)
        return dataclasses.replace(self, vocabulary=tokens.vocabulary, context=tokens.longest)

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        ids_11 = jnp.zeros((1, 1), jnp.int32)
        params = self.networks()["decoder"].init(key, ids_11, self.empty(1))["params"]
        return {"decoder": params}, {"carry": self.empty(batch_size)}

    def read(
        self, params: Params, tokens_BT: Array, carries: Carries, index_B: Array | None = None, key: Array | None = None
    ) -> RecurrentOutput:
        """The network's output; with `index_B` and `key` under dropout."""
        rngs = None if index_B is None else dict(zip(("dropout", "weights"), jax.random.split(key)))
        return self.networks()["decoder"].apply({"params": params["decoder"]}, tokens_BT, carries, index_B, rngs=rngs)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Cross-entropy, and alpha L2(dropped h) + beta L2(h_t - h_t-1), L2 of mean squares as the paper's code has."""
        require_turn(self, turn)
        index_B = batch["index"] if train else None
        out = self.read(params, batch["tokens"][:, :-1], _carried(state, batch), index_B, key)
        terms = {"cross_entropy": Term.mean(cross_entropy(out.logits_BTV, batch["tokens"][:, 1:]))}
        if self.activation_l2:
            terms["activation"] = Term.mean(out.dropped_BTE**2, scale=self.activation_l2)
        if self.slowness:
            terms["slowness"] = Term.mean((out.raw_BTE[:, 1:] - out.raw_BTE[:, :-1]) ** 2, scale=self.slowness)
        return LossOutput(terms, {}, state, rows=out.carries)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """What every row carries into the next step."""
        return params, {**state, "carry": rows}

    def follow(self, params: Params, state: Tree, batch: Batch, key: Array) -> tuple[dict[str, Term], Tree]:
        """Nats per token, accuracy, bits per byte where the data counts bytes; each row goes on where it was."""
        targets_BT = batch["tokens"][:, 1:]
        out = self.read(params, batch["tokens"][:, :-1], _carried(state, batch))
        weight_BT = jnp.broadcast_to(valid_rows(batch)[:, None], targets_BT.shape)
        nats_BT = cross_entropy(out.logits_BTV, targets_BT)
        metrics = {
            "loss": Term.mean(nats_BT, weight_BT),
            "accuracy": Term.mean(out.logits_BTV.argmax(-1) == targets_BT, weight_BT),
        }
        if "bytes" in batch:
            metrics["bits_per_byte"] = Term(metrics["loss"].total / math.log(2), (batch["bytes"] * weight_BT).sum())
        return metrics, {"carry": out.carries}

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        return self.follow(params, state, batch, key)[0]

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return {**metrics, "perplexity": math.exp(min(metrics["loss"], 700.0))}

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": GPTOptions(max_new_tokens=256)}

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        tokens = require(spec, "tokens", Tokens, "RecurrentLM")
        return {"tokens": dataclasses.replace(tokens, shifted=False, ragged=True)}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: GPTOptions
    ) -> dict[str, Array]:
        """Continues prompts, or a start token, to any length; conditions and outputs as `GPT.sample` has them."""
        require_ids(options)
        new, slots = options.max_new_tokens or self.context, prompts(conditions)[0].shape[1]

        def extend(tokens_NT: Array, cache: Tree, start: Array | int):
            """Slot t modulo P of the cache is what was carried after token t: the next one begins from there."""
            before = jax.tree.map(lambda x_NS: jnp.where(start == 0, 0.0, x_NS[:, (start - 1) % slots]), cache)

            def one(carries: Carries, token_N: Array):
                out = self.read(params, token_N[:, None], carries)
                return out.carries, (out.logits_BTV[:, 0], out.carries)

            _, (logits_TNV, carries_TN) = jax.lax.scan(one, before, tokens_NT.T)
            cache = jax.tree.map(
                lambda old, x: jax.lax.dynamic_update_slice_in_dim(old, x.swapaxes(0, 1), start % slots, axis=1),
                cache,
                carries_TN,
            )
            return logits_TNV.swapaxes(0, 1), cache

        def empty(rows: int) -> Tree:
            return jax.tree.map(lambda x: jnp.zeros((rows, slots, *x.shape[1:])), self.empty(1))

        room = slots + new  # there is no window that is ever full
        return continued(extend, empty, key, conditions, options, new_tokens=new, context=room)


def _carried(state: Tree, batch: Batch) -> Carries:
    """What the batch's rows begin with: zeros where a row begins anew."""
    starts_B1 = batch.get("starts", jnp.ones(batch["index"].shape, bool))[:, None]
    return jax.tree.map(lambda x: jnp.where(starts_B1, 0.0, x[batch["index"]]), state["carry"])
