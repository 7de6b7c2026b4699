"""Vector quantization: the nearest of K learned vectors (van den Oord et al. 2017, arXiv:1711.00937).

Shapes: B batch, h x w a grid of positions, N = B h w of them, D width, K codes.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn import noise
from genjax.nn.quantize import Codebook, Quantized, Quantizer, Tree, straight_through
from genjax.registry import register

__all__ = ["VectorQuantizer", "nearest"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class VectorQuantizer(Quantizer):
    """VQ-VAE's codebook, learned by moving averages of what falls on each code (appendix A.1), or by gradient.

    The state has `count` (K,), moving averages of how often each code is taken in a batch; for "ema" also `sum` (K, D),
    those of the sums of what took it, and the `codebook` (K, D) itself. A code that is taken too seldom is put where
    some example of the batch is, with the mean of all counts: at the first step nearly all codes are.
    """

    size: int = 512  # K
    width: int = 64  # D
    learn: Literal["ema", "gradient"] = "ema"
    commitment: float = 0.25  # beta of equation 3
    decay: float = 0.99  # gamma of the averages
    restart: float = 0.03  # a code taken less often than this share of the mean is dead; 0 = none is
    epsilon: float = 1e-5  # Laplace's smoothing of the counts

    def __post_init__(self):
        if min(self.size, self.width) < 1 or self.commitment < 0 or not 0 <= self.restart < 1:
            raise UsageError("VectorQuantizer: size and width must be positive, commitment not negative, restart < 1")
        if not 0 <= self.decay < 1:
            raise UsageError(f"VectorQuantizer: decay {self.decay} must be in [0, 1)")

    @property
    def codes(self) -> int:
        return self.size

    @property
    def features(self) -> int:
        return self.width

    @property
    def module(self) -> nn.Module | None:
        return Codebook(self.size, self.width) if self.learn == "gradient" else None

    def init_state(self, key: Array) -> Tree:
        count_K = jnp.zeros((self.size,))
        if self.learn == "gradient":
            return {"count": count_K}
        codebook_KD = jax.random.normal(key, (self.size, self.width))
        return {"count": count_K, "sum": jnp.zeros_like(codebook_KD), "codebook": codebook_KD}

    def codebook(self, params: Tree, state: Tree) -> Array:
        return params["embedding"] if self.learn == "gradient" else state["codebook"]

    def quantize(
        self, params: Tree, state: Tree, z_BHWF: Array, index_B: Array, key: Array, *, step: Array, train: bool
    ) -> Quantized:
        """Equation 3: the codebook's term |sg(z) - e|^2 (by gradient), and beta |z - sg(e)|^2; means over channels."""
        codebook_KD = self.codebook(params, state)
        ids = nearest(z_BHWF, codebook_KD)
        code = codebook_KD[ids]
        held_z, held_code = jax.lax.stop_gradient((z_BHWF, code))
        terms = {"commitment": (jnp.square(z_BHWF - held_code).mean(-1), self.commitment)}
        if self.learn == "gradient":
            terms["codebook"] = (jnp.square(held_z - code).mean(-1), 1.0)
        taken_NK = jax.nn.one_hot(ids.reshape(-1), self.size)
        sums = {"count": taken_NK.sum(0)}
        if self.learn == "ema":
            sums["sum"] = taken_NK.T @ held_z.reshape(-1, self.width)
        flat_BTD = held_z.reshape(len(held_z), -1, self.width)
        place_B = (noise.uniform(key, index_B) * flat_BTD.shape[1]).astype(jnp.int32)
        rows = {"candidate": jnp.take_along_axis(flat_BTD, place_B[:, None, None], axis=1)[:, 0]}
        return Quantized(straight_through(z_BHWF, held_code), ids, terms, sums, rows)

    def look_up(self, params: Tree, state: Tree, ids: Array) -> Array:
        return self.codebook(params, state)[ids]

    def update(self, params: Tree, state: Tree, sums: Tree, rows: Tree) -> tuple[Tree, Tree]:
        """Equations 6 to 8, then the dead codes, each from an example of its own while the batch has enough."""

        def average(old: Array, new: Array) -> Array:
            return self.decay * old + (1 - self.decay) * new

        count_K, codebook_KD = average(state["count"], sums["count"]), self.codebook(params, state)
        if self.learn == "ema":
            sum_KD = average(state["sum"], sums["sum"])
            total = count_K.sum()
            smooth_K = (count_K + self.epsilon) / (total + self.size * self.epsilon) * total
            codebook_KD = jnp.where(count_K[:, None] > 0, sum_KD / smooth_K[:, None], codebook_KD)  # until it is taken
        mean = count_K.mean()
        dead_K = count_K < self.restart * mean
        candidate_KD = rows["candidate"][(jnp.cumsum(dead_K) - 1) % len(rows["candidate"])]
        codebook_KD = jnp.where(dead_K[:, None], candidate_KD, codebook_KD)
        new = {"count": jnp.where(dead_K, mean, count_K)}
        if self.learn == "gradient":
            return {"embedding": codebook_KD}, new
        new["sum"] = jnp.where(dead_K[:, None], mean * candidate_KD, sum_KD)
        return params, new | {"codebook": codebook_KD}


def nearest(z: Array, codebook_KD: Array) -> Array:
    """(...) int32, the code nearest to each z (..., D) by Euclid's distance; the first of those that are."""
    squares_K = jnp.square(codebook_KD).sum(-1)
    return jnp.argmin(squares_K - 2 * z @ codebook_KD.T, axis=-1).astype(jnp.int32)
