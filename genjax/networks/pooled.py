"""What stands on an encoder of text: to judge a text as a whole, and to fill its gaps."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.transformer import INIT, Config, norm
from genjax.nn.dense import Dense
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain

__all__ = ["Head", "MaskedHead", "Pooler", "Pooling", "pooled"]

Array = jax.Array
Pooling = Literal["mean", "cls"]


def pooled(x_BTD: Array, lengths_B: Array, pooling: Pooling) -> Array:
    """(B, D) float32: the mean over a text's own positions, or the first position."""
    if pooling == "cls":
        return x_BTD[:, 0].astype(jnp.float32)
    weight_BT1 = (jnp.arange(x_BTD.shape[1]) < lengths_B[:, None]).astype(jnp.float32)[..., None]
    return (x_BTD * weight_BT1).sum(1) / jnp.maximum(weight_BT1.sum(1), 1.0)


class Head(nn.Module):
    """(B, D) to the logits of classes (B, K), float32."""

    classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x_BD: Array, index_B: Array | None = None) -> Array:
        return Dense(self.classes, kernel_init=INIT, name="out")(Dropout(self.dropout)(x_BD, index_B))


class MaskedHead(nn.Module):
    """(B, T, D) and the embedding (V, D) to the logits of the words that are hidden, (B, T, V) float32; BERT's."""

    config: Config

    @nn.compact
    def __call__(self, x_BTD: Array, table_VD: Array) -> Array:
        c = self.config
        x_BTD = Dense(c.width, kernel_init=c.kernel_init, dtype=c.dtype, name="dense")(x_BTD)
        x_BTD = norm(c, "norm")(jax.nn.gelu(x_BTD, approximate=False))
        bias_V = self.param("bias", nn.initializers.zeros, (len(table_VD),))
        logits_BTV = (x_BTD @ table_VD.astype(x_BTD.dtype).T).astype(jnp.float32) + bias_V
        return jnp.where(jnp.arange(len(table_VD)) < c.vocabulary, constrain(logits_BTV, BATCH, None, "tensor"), -1e30)


class Pooler(nn.Module):
    """(B, D), features of [CLS], to tanh features (B, D); with `next_sentence` to the logits of "follows" (B, 2)."""

    width: int
    next_sentence: bool = True  # 0 = the second text follows, as in BERT

    @nn.compact
    def __call__(self, x_BD: Array) -> Array:
        x_BD = jnp.tanh(Dense(self.width, kernel_init=INIT, name="dense")(x_BD))
        return Dense(2, kernel_init=INIT, name="out")(x_BD) if self.next_sentence else x_BD
