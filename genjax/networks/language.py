"""Networks of text: an encoder, a decoder, and the two together.

Shapes: B batch, T positions, S positions of a source or memory, D width, V vocabulary padded for the hardware.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.transformer import Caches, Config, Shared, Transformer
from genjax.nn.attention import Mask
from genjax.nn.dense import Dense
from genjax.nn.sharding import BATCH, constrain

__all__ = ["Decoder", "Encoder", "EncoderDecoder"]

Array = jax.Array

MASKED = -1e30  # the logit of an id that must not be drawn: its probability is exactly 0


class Encoder(Transformer):
    """Ids to features, every position seeing all others of its row."""

    kinds: int = 0  # rows of a table that is added by `kind_BT`, such as BERT's two sentences; 0 = no table

    @nn.compact
    def __call__(
        self,
        tokens_BT: Array,
        index_B: Array | None = None,
        *,
        mask: Mask = Mask(),
        kind_BT: Array | None = None,
        table_VD: Array | None = None,
    ) -> Array:
        """(B, T, D) in the compute type.

        Args:
          tokens_BT: ids, T at most the context where positions are learned.
          index_B: the examples' positions in the global batch; turns dropout on and needs a "dropout" rng.
          mask: `Mask(lengths_B=...)` where rows are padded.
          kind_BT: int32 in [0, kinds); None = 0.
          table_VD: the embedding, where it is shared with another network.
        """
        kind_BT = jnp.zeros_like(tokens_BT) if kind_BT is None else kind_BT
        table_VD = (self.table() if table_VD is None else table_VD).astype(self.config.dtype or jnp.float32)
        shared = Shared(mask, index_B)
        return self.features(table_VD, tokens_BT, shared, kind_BT=kind_BT, kinds=self.kinds)[0]


class Decoder(Transformer):
    """Tokens to the logits of the next ones, with `cross` in view of a memory."""

    cross: bool = False

    @nn.compact
    def __call__(
        self,
        tokens_BT: Array,
        index_B: Array | None = None,
        *,
        mask: Mask = Mask(causal=True),
        memory_BSD: Array | None = None,
        memory_mask: Mask = Mask(),
        table_VD: Array | None = None,
        cache: Caches | None = None,
        start: Array | int = 0,
    ):
        """(B, T, V) float32 logits; ids that only pad the vocabulary have probability 0.

        Args:
          tokens_BT: ids, T at most the context where positions are learned.
          index_B: the examples' positions in the global batch; turns dropout on and needs a "dropout" rng.
          mask: a causal one.
          memory_BSD: what `cross` attends to. With a cache it is read once: later calls leave it out.
          memory_mask: `Mask(lengths_B=...)` where the memory is padded.
          table_VD: the embedding, where it is shared with another network.
          cache: with it, tokens stand at positions start, start + 1 ..., attend to the slots before them, and
            (logits, cache) is returned. The caller keeps start + T within the cache's slots.
        """
        c = self.config
        mask = dataclasses.replace(mask, window=c.window, start=start if cache is not None else None)
        table_VD = (self.table() if table_VD is None else table_VD).astype(c.dtype or jnp.float32)
        shared = Shared(mask, index_B, None, memory_BSD, memory_mask)
        x_BTD, new_cache = self.features(table_VD, tokens_BT, shared, caches=cache, cross=self.cross)
        if c.logit_scale != 1.0:
            x_BTD = x_BTD * c.logit_scale
        if c.tied:
            logits_BTV = x_BTD @ table_VD.T
        else:
            head = Dense(c.padded_vocabulary, use_bias=False, kernel_init=c.kernel_init, dtype=c.dtype, name="head")
            logits_BTV = head(x_BTD)
        logits_BTV = constrain(logits_BTV, BATCH, None, "tensor").astype(jnp.float32)
        if c.logit_bias:
            logits_BTV += self.param("logit_bias", nn.initializers.zeros, (c.padded_vocabulary,))
        if c.logit_softcap:
            logits_BTV = c.logit_softcap * jnp.tanh(logits_BTV / c.logit_softcap)
        if c.padded_vocabulary > c.vocabulary:
            logits_BTV = jnp.where(jnp.arange(c.padded_vocabulary) < c.vocabulary, logits_BTV, MASKED)
        return logits_BTV if cache is None else (logits_BTV, new_cache)


class EncoderDecoder(nn.Module):
    """Source and target to logits (Vaswani et al. 2017; T5, Raffel et al. 2020); both halves share the embedding."""

    config: Config

    def setup(self):
        c = self.config
        self.embedding = self.param("embedding", c.embedding_init, (c.padded_vocabulary, c.width))
        self.encoder, self.decoder = Encoder(c), Decoder(c, cross=True)

    def __call__(
        self, source_BS: Array, target_BT: Array, index_B: Array | None = None, *, lengths_B: Array | None = None
    ) -> Array:
        """(B, T, V) float32 logits of what follows each of `target_BT`; `lengths_B` of the sources."""
        memory_BSD = self.encode(source_BS, index_B, lengths_B=lengths_B)
        return self.decode(target_BT, index_B, memory_BSD=memory_BSD, lengths_B=lengths_B)

    def encode(self, source_BS: Array, index_B: Array | None = None, *, lengths_B: Array | None = None) -> Array:
        """The memory (B, S, D)."""
        return self.encoder(source_BS, index_B, mask=Mask(lengths_B=lengths_B), table_VD=self.embedding)

    def decode(
        self,
        target_BT: Array,
        index_B: Array | None = None,
        *,
        memory_BSD: Array | None = None,
        lengths_B: Array | None = None,
        cache: Caches | None = None,
        start: Array | int = 0,
    ):
        """Logits, with a cache (logits, cache); see `Decoder`. The first call with a cache needs the memory."""
        return self.decoder(
            target_BT,
            index_B,
            memory_BSD=memory_BSD,
            memory_mask=Mask(lengths_B=lengths_B),
            table_VD=self.embedding,
            cache=cache,
            start=start,
        )
