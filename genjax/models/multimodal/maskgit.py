"""MaskGIT (Chang et al. 2022, arXiv:2202.04200): a picture's ids are drawn many at a time, the surest first.

Shapes: N rows, S tokens of the text, T = h w ids of the picture, V vocabulary.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.decoding.draw import draw
from genjax.errors import UsageError
from genjax.models.base import Array, Batch, LossOutput, Params, Term, Tree, Turn, require_turn, valid_rows
from genjax.models.first_stage import own
from genjax.models.language.targets import cross_entropy
from genjax.models.multimodal.dalle import DALLE
from genjax.models.multimodal.dalle_options import DALLEOptions
from genjax.models.multimodal.dalle_sampling import told
from genjax.networks.text_image import TextImageDecoder
from genjax.nn import noise
from genjax.registry import register

__all__ = ["MaskGIT", "MaskGITOptions", "hidden_share"]


def hidden_share(done: Array) -> Array:
    """The share of ids hidden when `done` of the way, in [0, 1], is gone: the cosine schedule of section 3.3."""
    return jnp.cos(jnp.pi / 2 * done)


@dataclasses.dataclass(frozen=True)
class MaskGITOptions(DALLEOptions):
    """As DALL-E's, in `steps` steps."""

    steps: int = 8  # in which all ids of a picture are drawn
    choice: float = 4.5  # temperature of the noise on what is kept, falling to 0 over the steps; 0 = the surest are

    def __post_init__(self):
        super().__post_init__()
        if self.steps < 1 or not self.choice >= 0:
            raise UsageError(f"--steps {self.steps}, --choice {self.choice}: at least one step, a choice not negative")


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskGIT(DALLE):
    """DALL-E's sequence and entries; the turn "unmask". Every token sees all others, and hidden ids are the start's.

    It reads its text and does not learn to write it. Departures from the paper: no label smoothing, and the network
    and optimizer are those of DALL-E here.
    """

    text_weight: float = 0.0

    Options: ClassVar = MaskGITOptions

    def __post_init__(self):
        super().__post_init__()
        if self.text_weight:
            raise UsageError("MaskGIT: it does not write text: leave text_weight at 0")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn("unmask", trains=("decoder",)),)

    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"decoder": TextImageDecoder(self, self.sequence, causal=False)}

    # How it learns.

    def hidden_nats(self, params: Params, state: Tree, batch: Batch, key: Array, *, train: bool) -> tuple[Array, Array]:
        """-log p (B, T) of the picture's ids given its text and those not hidden, and 1 where they are hidden.

        A share gamma(r) of each picture's ids is hidden, r uniform in [0, 1), at random places.
        """
        encode_key, text_key, share_key, place_key, key = jax.random.split(key, 5)
        index_B, s, (words_BS, length_B) = batch["index"], self.sequence, self.texts(batch)
        if train and self.text_dropout:
            length_B = jnp.where(noise.uniform(text_key, index_B) < self.text_dropout, 0, length_B)
        ids_BT = self.ids(params, state, batch, encode_key)
        count_B1 = jnp.ceil(s.image * hidden_share(noise.uniform(share_key, index_B)))[:, None]
        hidden_BT = ranks(noise.uniform(place_key, index_B, (s.image,))) < count_B1
        tokens_BN = jnp.concatenate(
            [s.texts(words_BS, length_B), jnp.where(hidden_BT, s.start, s.first_code + ids_BT)], axis=1
        )
        _, logits_BTV = self.networks()["decoder"].apply(
            {"params": params["decoder"]}, tokens_BN, index_B if train and self.dropout else None, rngs={"dropout": key}
        )
        return cross_entropy(logits_BTV, ids_BT), hidden_BT.astype(jnp.float32)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """Equation 1: the cross-entropy of the hidden ids, a mean over them."""
        require_turn(self, turn)
        term = Term.mean(*self.hidden_nats(params, state, batch, key, train=train))
        return LossOutput({"image": term}, {"image_nll": term}, state)

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats a hidden id, hidden as in training."""
        nats_BT, hidden_BT = self.hidden_nats(params, state, batch, key, train=False)
        return {"image_nll": Term.mean(nats_BT, hidden_BT * valid_rows(batch)[:, None])}

    # What it makes.

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: MaskGITOptions
    ) -> dict[str, Array]:
        """As DALL-E's; iterative decoding, section 3.2.

        Each step draws all hidden ids, and hides again those that it is least sure of, by log p with Gumbel's noise.
        """
        encode_key, key = jax.random.split(key)
        s, index_N = self.sequence, conditions["index"]
        text_NS, empty_NS, known_NP = told(self, params, state, encode_key, conditions, options)
        unknown = s.image - known_NP.shape[1]
        place_NT = index_N[:, None] * s.image + jnp.arange(s.image)

        def logits(codes_NT: Array, text_NS: Array) -> Array:
            """Of the picture's own ids, (N, T, codes)."""
            tokens_NN = jnp.concatenate([text_NS, codes_NT], axis=1)
            return self.networks()["decoder"].apply({"params": params["decoder"]}, tokens_NN)[1]

        def step(number: Array, codes_NT: Array) -> Array:
            draw_key, choice_key = jax.random.split(jax.random.fold_in(key, number))
            hidden_NT, logits_NTV = codes_NT == s.start, logits(codes_NT, text_NS)
            if options.guidance != 1.0:
                free_NTV = logits(codes_NT, empty_NS)
                logits_NTV = free_NTV + options.guidance * (logits_NTV - free_NTV)
            drawn_NT = draw(
                draw_key,
                place_NT.reshape(-1),
                logits_NTV.reshape(-1, logits_NTV.shape[-1]),
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
            ).reshape(codes_NT.shape)
            codes_NT = jnp.where(hidden_NT, s.first_code + drawn_NT, codes_NT)
            done = (number + 1) / options.steps
            sure_NT = -cross_entropy(logits_NTV, codes_NT - s.first_code) + options.choice * (1 - done) * gumbel(
                choice_key, place_NT
            )
            again = jnp.where(number + 1 < options.steps, jnp.floor(unknown * hidden_share(done)), 0)
            return jnp.where(ranks(jnp.where(hidden_NT, sure_NT, jnp.inf)) < again, s.start, codes_NT)

        hidden_NU = jnp.full((len(index_N), unknown), s.start)
        codes_NT = jax.lax.fori_loop(0, options.steps, step, jnp.concatenate([known_NP, hidden_NU], axis=1))
        return {"image": self.first_stage.decode(own(params), own(state), codes_NT - s.first_code, conditions)}


def ranks(x_BT: Array) -> Array:
    """The place of each number among those of its row, 0 for the smallest."""
    return jnp.argsort(jnp.argsort(x_BT, axis=1), axis=1)


def gumbel(key: Array, index: Array) -> Array:
    """Gumbel's noise in the shape of `index`, each number's own."""
    u = noise.uniform(key, index.reshape(-1)).reshape(index.shape)
    return -jnp.log(-jnp.log(jnp.clip(u, 1e-20, 1 - 1e-7)))
