"""Quantizers: what stands between an encoder and a decoder, and makes ids of features.

Shapes: B batch, h x w a grid of positions, F features of the encoder, D width of what the decoder reads, K codes.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError
from genjax.nn import noise
from genjax.registry import register

__all__ = ["FSQ", "Codebook", "Gumbel", "Quantized", "Quantizer", "straight_through"]

Array = jax.Array
Tree = Any


class Quantized(NamedTuple):
    """What a quantizer makes of features.

    Attributes:
      code: (B, h, w, D) float32, what the decoder reads; its gradient reaches the features.
      ids: (B, h, w) int32 in [0, K).
      terms: name -> (values (B, h, w), weight): what is minimized beside the reconstruction, as a mean over positions.
      sums, rows: for `Quantizer.update`, as `LossOutput` has them.
    """

    code: Array
    ids: Array
    terms: dict[str, tuple[Array, Array | float]] = {}
    sums: Tree = {}
    rows: Tree = {}


@dataclasses.dataclass(frozen=True)
class Quantizer:
    """Base of the quantizers. `params` and `state` are those of `init`, {} where there are none."""

    @property
    def codes(self) -> int:
        """K."""
        raise NotImplementedError

    @property
    def features(self) -> int:
        """F, how many channels the encoder puts out."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """D, how many channels the decoder reads."""
        return self.features

    @property
    def module(self) -> nn.Module | None:
        """What is learned by gradient, called with ids; None where nothing is."""
        return None

    def init_state(self, key: Array) -> Tree:
        return {}

    def quantize(
        self, params: Tree, state: Tree, z_BHWF: Array, index_B: Array, key: Array, *, step: Array, train: bool
    ) -> Quantized:
        """z is float32; noise, where there is any, belongs to the example `index_B`."""
        raise NotImplementedError

    def look_up(self, params: Tree, state: Tree, ids: Array) -> Array:
        """(..., D) float32, the codes of ids (...)."""
        raise NotImplementedError

    def update(self, params: Tree, state: Tree, sums: Tree, rows: Tree) -> tuple[Tree, Tree]:
        """After the optimizer, on what `quantize` left of the whole batch."""
        return params, state


class Codebook(nn.Module):
    """K vectors of D numbers: ids (...) -> (..., D)."""

    codes: int
    width: int

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        return self.param("embedding", nn.initializers.normal(1.0), (self.codes, self.width))[ids]


def straight_through(z: Array, code: Array) -> Array:
    """The code, whose gradient is that of z (Bengio et al. 2013, arXiv:1308.3432)."""
    return z + jax.lax.stop_gradient(code - z)


@register
@dataclasses.dataclass(frozen=True)
class FSQ(Quantizer):
    """Finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505): each channel is rounded to one of its levels.

    No codebook is learned, so none collapses. The bound is that of section 3.1, with an inverse tanh for the shift of
    an even number of levels, so that z = 0 stays where it is.
    """

    levels: tuple[int, ...] = (8, 5, 5, 5)  # of each channel; the paper's choice for 2^10 codes

    def __post_init__(self):
        if not self.levels or min(self.levels) < 3:
            raise UsageError(f"FSQ: levels {self.levels} must be one number from 3 on, or more")

    @property
    def codes(self) -> int:
        return math.prod(self.levels)

    @property
    def features(self) -> int:
        return len(self.levels)

    @property
    def _basis(self) -> np.ndarray:
        """What one step of each channel adds to the id."""
        return np.cumprod([1, *self.levels[:-1]])

    def bound(self, z: Array) -> Array:
        """z squeezed into as many unit intervals as there are levels, -(L // 2) the lowest."""
        levels = np.array(self.levels)
        half, offset = (levels - 1) * (1 + 1e-3) / 2, np.where(levels % 2 == 0, 0.5, 0.0)
        return jnp.tanh(z + np.arctanh(offset / half).astype(np.float32)) * half.astype(np.float32) - offset

    def quantize(
        self, params: Tree, state: Tree, z_BHWF: Array, index_B: Array, key: Array, *, step: Array, train: bool
    ) -> Quantized:
        bounded, half = self.bound(z_BHWF), np.array(self.levels) // 2
        rounded = straight_through(bounded, jnp.round(bounded))
        ids = ((jnp.round(bounded).astype(jnp.int32) + half) * self._basis).sum(-1)
        return Quantized(rounded / half.astype(np.float32), ids)

    def look_up(self, params: Tree, state: Tree, ids: Array) -> Array:
        levels = np.array(self.levels)
        steps = ids[..., None] // self._basis % levels - levels // 2
        return steps / (levels // 2).astype(np.float32)


@register
@dataclasses.dataclass(frozen=True)
class Gumbel(Quantizer):
    """The relaxation of DALL-E's dVAE (Ramesh et al. 2021, arXiv:2102.12092, section 2.1 and appendix A).

    The encoder's K logits become softmax((logits + Gumbel noise) / temperature), a mixture of the codebook's vectors
    (Jang et al. 2016, arXiv:1611.01144). The temperature falls along a cosine. Beside the reconstruction stands the KL
    divergence of each position's distribution from the uniform one. Without training the likeliest code is taken.
    """

    size: int = 512  # K
    width: int = 64  # D
    temperature: tuple[float, float] = (1.0, 1 / 16)  # at the first step and from `steps` on: the paper's
    steps: int = 1000  # until the temperature is down
    kl: float = 0.03  # weight of the KL in nats a position; the paper's 6.6 nats a pixel value are 0.034 at f = 8
    kl_steps: int = 200  # until it is reached, in a line from 0

    def __post_init__(self):
        if min(self.size, self.width, self.steps, self.kl_steps) < 1 or self.kl < 0:
            raise UsageError("Gumbel: size, width, steps and kl_steps must be positive, kl not negative")
        if min(self.temperature) <= 0:
            raise UsageError(f"Gumbel: temperature {self.temperature} must be two positive numbers")

    @property
    def codes(self) -> int:
        return self.size

    @property
    def features(self) -> int:
        return self.size

    @property
    def channels(self) -> int:
        return self.width

    @property
    def module(self) -> nn.Module:
        return Codebook(self.size, self.width)

    def temperature_at(self, step: Array) -> Array:
        first, last = self.temperature
        done = jnp.minimum(step / self.steps, 1.0)
        return last + (first - last) * 0.5 * (1 + jnp.cos(jnp.pi * done))

    def quantize(
        self, params: Tree, state: Tree, z_BHWF: Array, index_B: Array, key: Array, *, step: Array, train: bool
    ) -> Quantized:
        ids = jnp.argmax(z_BHWF, axis=-1).astype(jnp.int32)
        log_q = jax.nn.log_softmax(z_BHWF)
        kl = jnp.sum(jnp.exp(log_q) * log_q, axis=-1) + math.log(self.size)
        terms = {"kl": (kl, self.kl * jnp.minimum(step / self.kl_steps, 1.0))}
        if not train:
            return Quantized(self.look_up(params, state, ids), ids, terms)
        u = noise.uniform(key, index_B, z_BHWF.shape[1:])
        gumbel = -jnp.log(-jnp.log(jnp.clip(u, 1e-20, 1 - 1e-7)))
        relaxed = jax.nn.softmax((z_BHWF + gumbel) / self.temperature_at(step))
        return Quantized(relaxed @ params["embedding"], ids, terms)

    def look_up(self, params: Tree, state: Tree, ids: Array) -> Array:
        return params["embedding"][ids]
