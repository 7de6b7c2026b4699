"""One decoder over the tokens of a text and then those of a picture: DALL-E (Ramesh et al. 2021, arXiv:2102.12092).

Shapes: B batch, S tokens of the text, T = h w of the picture, N = 1 + S + T of a sequence, D width, V vocabulary.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.transformer import INIT, Block, Caches, Config, Shared, norm
from genjax.nn.attention import Mask
from genjax.nn.dense import Dense
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain
from genjax.nn.stack import stacked

__all__ = ["Sequence", "TextImageDecoder"]

Array = jax.Array

MASKED = -1e30  # the logit of an id that cannot follow: its probability is exactly 0


@dataclasses.dataclass(frozen=True)
class Sequence:
    """How a text and a picture are one sequence of ids: a start, S of the text, T of the picture.

    The ids of the text come first, then the S paddings, one for each position as in the paper (section 2.2), the start,
    and the ids of the picture.
    """

    text: int  # S; 0 for pictures without text
    words: int  # ids that a text may have
    grid: tuple[int, int]  # (h, w)
    codes: int  # ids that a picture may have

    @property
    def start(self) -> int:
        return self.words + self.text

    @property
    def first_code(self) -> int:
        return self.start + 1

    @property
    def vocabulary(self) -> int:
        return self.first_code + self.codes

    @property
    def image(self) -> int:
        """T."""
        return self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """N."""
        return 1 + self.text + self.image

    def texts(self, text_BS: Array, length_B: Array) -> Array:
        """(B, 1 + S) ids: the start, and the texts with their padding; a text of length 0 is none."""
        place_S = jnp.arange(self.text)
        text_BS = jnp.where(place_S < length_B[:, None], text_BS, self.words + place_S)
        return jnp.pad(text_BS.astype(jnp.int32), ((0, 0), (1, 0)), constant_values=self.start)

    def possible(self, position_T: Array) -> Array:
        """(T, vocabulary) bool: the ids that may follow the one at each position."""
        id_V, follows_T1 = jnp.arange(self.vocabulary), position_T[:, None] + 1
        return jnp.where(follows_T1 <= self.text, id_V < self.words, id_V >= self.first_code)


class TextImageDecoder(nn.Module):
    """Ids to the logits of the next ones. Tokens of the picture have a learned row and a learned column.

    Without `causal` every token sees all others, and the logits at a token of the picture are for its own id. Of a
    whole sequence each half has logits of its own ids alone: no time goes to those that cannot stand there.
    """

    config: Config
    sequence: Sequence
    causal: bool = True

    @nn.compact
    def __call__(
        self,
        tokens_BT: Array,
        index_B: Array | None = None,
        *,
        cache: Caches | None = None,
        start: Array | int = 0,
    ):
        """Float32 logits: of the text's words at its S places, and of the picture's ids at the last h w tokens.

        With a cache (logits (B, T, V), cache), the tokens standing at start, start + 1 ... `index_B`, the examples'
        positions in the global batch, turns dropout on and needs a "dropout" rng.
        """
        c, s, t = self.config, self.sequence, tokens_BT.shape[1]
        table_VD = self.param("embedding", INIT, (c.padded_vocabulary, c.width)).astype(c.dtype or jnp.float32)
        before = self.param("positions", INIT, (1 + s.text, c.width))
        rows, columns = (self.param(name, INIT, (n, c.width)) for name, n in zip(("rows", "columns"), s.grid))
        cells = (rows[:, None] + columns).reshape(-1, c.width)
        places_TD = jax.lax.dynamic_slice_in_dim(jnp.concatenate([before, cells]), start, t)
        x_BTD = jnp.take(constrain(table_VD, "tensor", None), tokens_BT, axis=0) + places_TD.astype(table_VD.dtype)
        x_BTD = constrain(Dropout(c.dropout)(x_BTD, index_B), BATCH, None, None)
        blocks = stacked(Block, layers=c.layers, remat=c.remat, unroll=c.unroll or 1)(c, name="blocks")
        shared = Shared(Mask(causal=self.causal, start=None if cache is None else start), index_B)
        (x_BTD, cache), _ = blocks((x_BTD, cache), jnp.arange(c.layers), shared)
        x_BTD = norm(c, "final_norm")(x_BTD)
        if not c.tied:
            head = Dense(c.padded_vocabulary, use_bias=False, kernel_init=INIT, dtype=c.dtype, name="head")

        def logits(x_BTD: Array, ids: slice) -> Array:
            logits_BTV = x_BTD @ table_VD[ids].T if c.tied else head(x_BTD)[..., ids]
            return constrain(logits_BTV, BATCH, None, "tensor").astype(jnp.float32)

        if cache is None:
            text_BSD, image_BTD = x_BTD[:, : s.text], x_BTD[:, -s.image :]
            return logits(text_BSD, slice(s.words)), logits(image_BTD, slice(s.first_code, s.vocabulary))
        possible_TV = s.possible(start + jnp.arange(t))
        possible_TV = jnp.pad(possible_TV, ((0, 0), (0, c.padded_vocabulary - s.vocabulary)))
        return jnp.where(possible_TV, logits(x_BTD, slice(None)), MASKED), cache
