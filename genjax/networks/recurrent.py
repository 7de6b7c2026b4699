"""A recurrent language model: embedding, layers of LSTM or GRU, head (Merity et al. 2018, arXiv:1708.02182).

Shapes: B batch, T time, E width of the embedding, V vocabulary padded for the hardware.
"""

import dataclasses
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.noise import Dropout
from genjax.nn.recurrent import CellKind, Recurrent, empty_carry
from genjax.nn.sharding import BATCH, constrain

__all__ = ["RULES", "Carries", "RecurrentConfig", "RecurrentDecoder", "RecurrentOutput"]

Array = jax.Array
Carries = dict[str, dict[str, Array]]  # by layer: what it carries, (B, H) float32

MASKED = -1e30  # the logit of an id that only pads the vocabulary

RULES = (
    ("embedding", ("tensor", "fsdp")),
    ("head", ("tensor", "fsdp")),
    (r"layer_\d+/(state_)?kernel", ("fsdp", None, "tensor")),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Hyper-parameters. AWD-LSTM on WikiText-2: the defaults, with the five kinds of dropout at .4 .25 .4 .1 .5."""

    cell: CellKind = "lstm"
    layers: int = 3  # recurrent ones, one above the other
    width: int = 1150  # of the state; that of the last layer is the embedding's, where that is the head
    embedding: int = 400  # features of a token
    tied: bool = True  # the head is the embedding (Inan et al. 2017; Press & Wolf 2017)
    vocabulary: int | None = None  # None = the data's
    vocabulary_multiple: int = 128  # ids are padded to it, for the hardware's tiles
    dropout: float = 0.0  # of the last layer's outputs; this and the next two have one mask for all times of a row
    hidden_dropout: float = 0.0  # between layers
    input_dropout: float = 0.0  # of the embedded tokens
    word_dropout: float = 0.0  # of whole rows of the embedding, the same for all rows of a batch
    weight_dropout: float = 0.0  # of the weights from state to state, likewise
    dtype: str | None = None

    def __post_init__(self):
        name = type(self).__name__
        for field in ("layers", "width", "embedding", "vocabulary", "vocabulary_multiple"):
            if (size := getattr(self, field)) is not None and size < 1:
                raise UsageError(f"{name}: {field} is {size}, must be positive")
        for field in ("dropout", "hidden_dropout", "input_dropout", "word_dropout", "weight_dropout"):
            if not 0 <= (rate := getattr(self, field)) < 1:
                raise UsageError(f"{name}: {field} is {rate}, must be in [0, 1)")

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the state of each layer."""
        return (self.width,) * (self.layers - 1) + (self.embedding if self.tied else self.width,)

    @property
    def padded_vocabulary(self) -> int:
        return math.ceil(self.vocabulary / self.vocabulary_multiple) * self.vocabulary_multiple

    def empty(self, batch: int) -> Carries:
        """What a text begins with."""
        return {f"layer_{n}": empty_carry(self.cell, batch, width) for n, width in enumerate(self.widths)}


class RecurrentOutput(NamedTuple):
    """`logits_BTV` float32; `carries` after the last token; the last layer's outputs before and after dropout."""

    logits_BTV: Array
    carries: Carries
    raw_BTE: Array
    dropped_BTE: Array


class RecurrentDecoder(nn.Module):
    """Tokens and what was carried here, to logits of the next tokens and what is carried on."""

    config: RecurrentConfig

    @nn.compact
    def __call__(self, tokens_BT: Array, carries: Carries, index_B: Array | None = None) -> RecurrentOutput:
        """`index_B`, the examples' positions in the global batch, turns dropout on; "dropout" and "weights" rngs."""
        c, train = self.config, index_B is not None
        dtype, init = jnp.dtype(c.dtype or jnp.float32), nn.initializers.uniform(0.2)
        table_VE = self.param("embedding", lambda *a: init(*a) - 0.1, (c.padded_vocabulary, c.embedding))
        rows_VE = table_VE
        if c.word_dropout and train:
            keep = jax.random.bernoulli(self.make_rng("weights"), 1 - c.word_dropout, (c.padded_vocabulary, 1))
            rows_VE = jnp.where(keep, table_VE / (1 - c.word_dropout), 0.0)
        x_BTE = jnp.take(constrain(rows_VE.astype(dtype), "tensor", None), tokens_BT, axis=0)
        x_BTE = Dropout(c.input_dropout, same=(1,))(x_BTE, index_B)
        new: Carries = {}
        for n, width in enumerate(c.widths):
            if n:
                x_BTE = Dropout(c.hidden_dropout, same=(1,))(x_BTE, index_B)
            name = f"layer_{n}"
            layer = Recurrent(c.cell, width, c.weight_dropout, c.dtype, name=name)
            x_BTE, new[name] = layer(constrain(x_BTE, BATCH, None, None), carries[name], train)
        dropped_BTE = Dropout(c.dropout, same=(1,))(x_BTE, index_B)
        head_VE = table_VE
        if not c.tied:
            head_VE = self.param("head", nn.initializers.normal(0.02), (c.padded_vocabulary, c.widths[-1]))
        bias_V = self.param("head_bias", nn.initializers.zeros, (c.padded_vocabulary,))
        logits_BTV = (dropped_BTE.astype(dtype) @ head_VE.astype(dtype).T).astype(jnp.float32) + bias_V
        logits_BTV = constrain(logits_BTV, BATCH, None, "tensor")
        if c.padded_vocabulary > c.vocabulary:
            logits_BTV = jnp.where(jnp.arange(c.padded_vocabulary) < c.vocabulary, logits_BTV, MASKED)
        return RecurrentOutput(logits_BTV, new, x_BTE, dropped_BTE)
