"""One encoder for pictures and texts, and one decoder that writes either from what the encoder has read.

The halves are those of Vaswani et al. 2017; a picture is read as patches (Dosovitskiy et al. 2021, arXiv:2010.11929)
and written as ids of a first stage. Beside them stand the two linear heads of CLIP (Radford et al. 2021,
arXiv:2103.00020, figure 3).

Shapes: B batch, S tokens of a text, P patches, T ids of a picture, M positions of a memory, D width, E size of the
space that pictures and texts share.
"""

import math
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.language import Decoder
from genjax.networks.pooled import pooled
from genjax.networks.transformer import INIT, Block, Caches, Config, Shared, norm
from genjax.nn.attention import Mask
from genjax.nn.dense import Dense
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain
from genjax.nn.stack import stacked

__all__ = ["CrossModalTransformer", "Kind", "Outputs", "Sizes"]

Array = jax.Array
Kind = Literal["caption", "image"]

TEMPERATURE, LARGEST_SCALE = 0.07, 100.0  # of the similarities (CLIP, section 2.5)


class Sizes(NamedTuple):
    """Of what is read and written. The decoder's ids are those of texts, those of pictures, and two to begin with."""

    text: int  # S
    words: int  # ids that a text may have
    image: tuple[int, int, int]  # (H, W, C) that is read
    patch: int  # pixels a side
    ids: int  # T, that a picture is written with
    codes: int  # ids that a picture may have
    shared: int  # E

    @property
    def vocabulary(self) -> int:
        return self.words + self.codes + 2

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    def own(self, kind: Kind) -> tuple[int, int, int]:
        """(first id, number of ids, the id to begin with) of what is written."""
        if kind == "caption":
            return 0, self.words, self.words + self.codes
        return self.words, self.codes, self.words + self.codes + 1


class Outputs(NamedTuple):
    """What training needs, float32."""

    image_BE: Array  # of length 1
    caption_BE: Array
    scale: Array  # () by which their cosines are multiplied
    caption_BSV: Array  # logits of a caption's tokens, from the picture
    ids_BTV: Array  # logits of a picture's ids, from the caption


class Encoder(nn.Module):
    """(B, M, D) embedded positions to features."""

    config: Config

    @nn.compact
    def __call__(self, x_BMD: Array, mask: Mask = Mask(), index_B: Array | None = None) -> Array:
        c = self.config
        x_BMD = constrain(Dropout(c.dropout)(x_BMD, index_B), BATCH, None, None)
        blocks = stacked(Block, layers=c.layers, remat=c.remat, unroll=c.unroll or 1)(c, name="blocks")
        (x_BMD, _), _ = blocks((x_BMD, None), jnp.arange(c.layers), Shared(mask, index_B))
        return norm(c, "final_norm")(x_BMD)


class CrossModalTransformer(nn.Module):
    """`read_image` and `read_caption` make memories, `write` continues either kind, `embed` places both in one space.

    `config` has the sizes of both halves; its vocabulary is that of `sizes`, its context the longest that is written.
    """

    config: Config
    sizes: Sizes

    def setup(self):
        c, s = self.config, self.sizes
        self.embedding = self.param("embedding", INIT, (c.padded_vocabulary, c.width))
        self.text_positions = self.param("text_positions", INIT, (s.text, c.width))
        self.rows, self.columns = (self.param(f"patch_{n}", INIT, (s.grid[n], c.width)) for n in (0, 1))
        self.patches = Dense(c.width, dtype=c.dtype)
        self.nothing = self.param("nothing", INIT, (c.width,))  # stands for a text that was left out
        self.encoder, self.decoder = Encoder(c), Decoder(c, cross=True)
        self.image_head, self.caption_head = (Dense(s.shared, use_bias=False, dtype=c.dtype) for _ in range(2))
        self.log_scale = self.param("log_scale", nn.initializers.constant(math.log(1 / TEMPERATURE)), ())

    def __call__(
        self,
        image_BHWC: Array,
        caption_BS: Array,
        length_B: Array,
        ids_BT: Array,
        heard_B: Array,
        index_B: Array | None = None,
    ) -> Outputs:
        """Both directions and both embeddings, of captions of which `length_B` tokens count.

        `heard_B` (B,) bool: False where the picture is written without its caption. `index_B` turns dropout on.
        """
        seen_BPD, read_BSD = self.read_image(image_BHWC, index_B), self.read_caption(caption_BS, length_B, index_B)
        scale = jnp.minimum(jnp.exp(self.log_scale), LARGEST_SCALE)
        memory_BSD, lengths_B = self.without(read_BSD, length_B, heard_B)
        before_BS, before_BT = (jnp.pad(x[:, :-1], ((0, 0), (1, 0))) for x in (caption_BS, ids_BT))
        return Outputs(
            self.embed(image_BPD=seen_BPD),
            self.embed(caption_BSD=read_BSD, length_B=length_B),
            scale,
            self.write(before_BS, "caption", index_B, memory_BMD=seen_BPD),
            self.write(before_BT, "image", index_B, memory_BMD=memory_BSD, lengths_B=lengths_B),
        )

    def read_image(self, image_BHWC: Array, index_B: Array | None = None) -> Array:
        """The memory (B, P, D) of pictures in [-1, 1]."""
        s, (rows, columns) = self.sizes, self.sizes.grid
        cut = image_BHWC.reshape(len(image_BHWC), rows, s.patch, columns, s.patch, s.image[2])
        x_BPD = self.patches(cut.transpose(0, 1, 3, 2, 4, 5).reshape(len(image_BHWC), rows * columns, -1))
        places_PD = (self.rows[:, None] + self.columns).reshape(rows * columns, -1)
        return self.encoder(x_BPD + places_PD.astype(x_BPD.dtype), index_B=index_B)

    def read_caption(self, caption_BS: Array, length_B: Array, index_B: Array | None = None) -> Array:
        """The memory (B, S, D) of texts."""
        table_VD = constrain(self.embedding.astype(self.config.dtype or jnp.float32), "tensor", None)
        x_BSD = jnp.take(table_VD, caption_BS, axis=0)
        x_BSD += self.text_positions[: caption_BS.shape[1]].astype(x_BSD.dtype)
        return self.encoder(x_BSD, Mask(lengths_B=length_B), index_B)

    def without(self, memory_BSD: Array, length_B: Array, heard_B: Array) -> tuple[Array, Array]:
        """The memory and its lengths, with nothing in the place of the texts that are not heard."""
        memory_BSD = jnp.where(heard_B[:, None, None], memory_BSD, self.nothing.astype(memory_BSD.dtype))
        return memory_BSD, jnp.where(heard_B, length_B, 1)

    def embed(
        self, *, image_BPD: Array | None = None, caption_BSD: Array | None = None, length_B: Array | None = None
    ) -> Array:
        """(B, E) float32 of length 1: the mean of a memory's positions, through the head of its kind."""
        if image_BPD is not None:
            x_BE = self.image_head(image_BPD.astype(jnp.float32).mean(1))
        else:
            x_BE = self.caption_head(pooled(caption_BSD, length_B, "mean"))
        x_BE = x_BE.astype(jnp.float32)
        return x_BE / jnp.maximum(jnp.linalg.norm(x_BE, axis=-1, keepdims=True), 1e-6)

    def write(
        self,
        before_BT: Array,
        kind: Kind,
        index_B: Array | None = None,
        *,
        memory_BMD: Array | None = None,
        lengths_B: Array | None = None,
        cache: Caches | None = None,
        start: Array | int = 0,
    ):
        """(B, T, V) logits of the next ids of one kind, all counted from 0; with a cache (logits, cache).

        `before_BT` are the ids that stand before them; the one at position 0 is ignored. Caches as of `Decoder`.
        """
        first, count, begin = self.sizes.own(kind)
        opening_T = start + jnp.arange(before_BT.shape[1]) == 0
        out = self.decoder(
            jnp.where(opening_T, begin, first + before_BT),
            index_B,
            memory_BSD=memory_BMD,
            memory_mask=Mask(lengths_B=lengths_B),
            table_VD=self.embedding,
            cache=cache,
            start=start,
        )
        logits, *caches = out if cache is not None else (out,)
        logits = logits[..., first : first + count]
        return (logits, *caches) if caches else logits
