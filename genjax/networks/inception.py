"""Inception v3 as of 2015-12-05, the network of FID: that graph, and not the later one of torchvision.

It departs from Szegedy et al. 2015 (arXiv:1512.00567) as the released graph does: averages leave padding out, and the
last block takes a maximum where the others average. Modules are named as in pytorch-fid and torch-fidelity.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.frozen import FrozenBatchNorm

__all__ = ["SIZE", "Inception", "resize_as_tensorflow_1"]

Array = jax.Array
SIZE = 299  # pixels a side that it looks at


class Convolution(nn.Module):
    """Convolution, batch normalization, ReLU. A kernel of odd sides is padded to keep the size, unless `valid`."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    valid: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        padding = "VALID" if self.valid else "SAME"
        x = nn.Conv(self.features, self.kernel, self.stride, padding, use_bias=False, name="conv")(x)
        return nn.relu(FrozenBatchNorm(name="bn")(x))


class Branches(nn.Module):
    """Chains of convolutions side by side, each of (name, features, kernel), and one behind a pool, joined by channel.

    Several convolutions in a chain's last place all read what came before them.
    """

    chains: Sequence[Sequence]
    pooled: int
    maximum: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pool = nn.max_pool if self.maximum else mean_pool
        outputs = [chain(x, convolutions) for convolutions in self.chains]
        outputs.append(Convolution(self.pooled, name="branch_pool")(pool(x, (3, 3), padding="SAME")))
        return jnp.concatenate(outputs, axis=-1)


class Reduction(nn.Module):
    """Chains whose last convolution halves the resolution, and a maximum that does, joined by channel."""

    chains: Sequence[Sequence]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        outputs = []
        for *first, (name, features, kernel) in self.chains:
            outputs.append(Convolution(features, kernel, 2, valid=True, name=name)(chain(x, first)))
        return jnp.concatenate([*outputs, nn.max_pool(x, (3, 3), (2, 2))], axis=-1)


def chain(x: Array, convolutions: Sequence) -> Array:
    """Convolutions one after the other, inside the module that calls."""
    for step in convolutions:
        if not isinstance(step[0], str):
            return jnp.concatenate([chain(x, [one]) for one in step], axis=-1)
        name, features, kernel = step
        x = Convolution(features, kernel, name=name)(x)
    return x


def mean_pool(x: Array, window: tuple[int, int], padding: str) -> Array:
    return nn.avg_pool(x, window, padding=padding, count_include_pad=False)


ONE, THREE, FIVE, WIDE, HIGH = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def block_a(pooled: int, name: str) -> Branches:
    chains = (
        (("branch1x1", 64, ONE),),
        (("branch5x5_1", 48, ONE), ("branch5x5_2", 64, FIVE)),
        (("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, THREE)),
    )
    return Branches(chains, pooled, name=name)


def block_c(inner: int, name: str) -> Branches:
    double = [("branch7x7dbl_1", inner, ONE), ("branch7x7dbl_2", inner, HIGH), ("branch7x7dbl_3", inner, WIDE)]
    double += [("branch7x7dbl_4", inner, HIGH), ("branch7x7dbl_5", 192, WIDE)]
    chains = (
        (("branch1x1", 192, ONE),),
        (("branch7x7_1", inner, ONE), ("branch7x7_2", inner, WIDE), ("branch7x7_3", 192, HIGH)),
        tuple(double),
    )
    return Branches(chains, 192, name=name)


def block_e(maximum: bool, name: str) -> Branches:
    def split(prefix: str) -> tuple:
        return ((f"{prefix}a", 384, (1, 3)), (f"{prefix}b", 384, (3, 1)))

    chains = (
        (("branch1x1", 320, ONE),),
        (("branch3x3_1", 384, ONE), split("branch3x3_2")),
        (("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE), split("branch3x3dbl_3")),
    )
    return Branches(chains, 192, maximum, name=name)


class Inception(nn.Module):
    """(B, 299, 299, 3) in [-1, 1] -> (features (B, 2048), logits (B, 1008) without their bias, as the scores have it).

    With `inner`, a dict of what comes before: the means over positions of the first blocks, by their channels. With
    `layers`, a list of those blocks themselves (B, h, w, D), of pictures of 75 pixels a side or more.
    """

    @nn.compact
    def __call__(self, x: Array, inner: bool = False, *, layers: bool = False):
        x = Convolution(32, THREE, 2, valid=True, name="Conv2d_1a_3x3")(x)
        x = Convolution(32, THREE, valid=True, name="Conv2d_2a_3x3")(x)
        x = Convolution(64, THREE, name="Conv2d_2b_3x3")(x)
        x = nn.max_pool(x, THREE, (2, 2))
        blocks = {"64": x}
        x = Convolution(80, name="Conv2d_3b_1x1")(x)
        x = Convolution(192, THREE, valid=True, name="Conv2d_4a_3x3")(x)
        x = nn.max_pool(x, THREE, (2, 2))
        blocks["192"] = x
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = block_a(pooled, name)(x)
        double = (("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, THREE))
        x = Reduction(((("branch3x3", 384, THREE),), double), name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = block_c(width, name)(x)
        blocks["768"] = x
        if layers:
            return list(blocks.values())
        first = (("branch3x3_1", 192, ONE), ("branch3x3_2", 320, THREE))
        second = [("branch7x7x3_1", 192, ONE), ("branch7x7x3_2", 192, WIDE), ("branch7x7x3_3", 192, HIGH)]
        x = Reduction((first, (*second, ("branch7x7x3_4", 192, THREE))), name="Mixed_7a")(x)
        x = block_e(False, "Mixed_7b")(x)
        x = block_e(True, "Mixed_7c")(x)
        features_BF = x.mean((1, 2))
        logits_BK = nn.Dense(1008, use_bias=False, name="fc")(features_BF)
        if not inner:
            return features_BF, logits_BK
        return features_BF, logits_BK, {name: block.mean((1, 2)) for name, block in blocks.items()}


def resize_as_tensorflow_1(x_BHWC: Array, size: int = SIZE) -> Array:
    """Bilinear, without half-pixel centres: output pixel i lies at i * side / size, as TensorFlow 1 has it."""
    for axis in (2, 1):
        side = x_BHWC.shape[axis]
        place = jnp.arange(size, dtype=jnp.float32) * jnp.float32(side / size)
        low = place.astype(jnp.int32)
        part = (place - low).reshape(size, *[1] * (3 - axis))
        first = jnp.take(x_BHWC, low, axis=axis)
        x_BHWC = first + (jnp.take(x_BHWC, jnp.minimum(low + 1, side - 1), axis=axis) - first) * part
    return x_BHWC
