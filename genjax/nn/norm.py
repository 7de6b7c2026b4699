"""Normalization of activations (batch, layer, instance, group) and of weights (spectral)."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.sharding import replica_axis

__all__ = ["GroupNorm", "Kind", "Norm", "spectral_normalize", "spectral_vectors"]

Array = jax.Array
Kind = Literal["batch", "layer", "instance", "none"]


class Norm(nn.Module):
    """Normalizes (B, ..., C), then multiplies with a scale and adds a bias per channel, but for "instance".

    "batch": over the batch and positions, of all replicas (Ioffe & Szegedy 2015, arXiv:1502.03167); the
    running averages in "batch_stats" take a tenth of each batch. "layer": over positions and channels of one
    example, as WGAN-GP has it (arXiv:1704.00028, section 4). "instance": over the positions of each channel of
    one example, without scale and bias (Ulyanov et al. 2016, arXiv:1607.08022; so in the code of pix2pix and
    CycleGAN). "none": the identity.

    Raises:
      UsageError: "instance" of a single position, where nothing but zeros would be left.
    """

    kind: Kind
    dtype: str | None = None
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    affine: bool = True  # with that scale and bias, where the kind is "batch"

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        if self.kind == "none":
            return x
        if self.kind == "layer":
            return nn.GroupNorm(1, epsilon=1e-5, dtype=self.dtype, scale_init=self.scale_init, name="layer")(x)
        if self.kind == "instance":
            if math.prod(x.shape[1:-1]) == 1:
                raise UsageError(
                    f"instance norm needs several positions, and here is an array {x.shape[1:]} an example"
                )
            plain = dict(use_scale=False, use_bias=False, use_fast_variance=False)
            return nn.InstanceNorm(epsilon=1e-5, dtype=self.dtype, **plain)(x)
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            axis_name=replica_axis(),
            dtype=self.dtype,
            use_scale=self.affine,
            use_bias=self.affine,
            scale_init=self.scale_init,
            name="batch",
        )(x)


class GroupNorm(nn.Module):
    """`nn.GroupNorm` of images: (B, H, W, C) over positions and the channels of each group, then a scale and bias.

    Wu & He 2018 (arXiv:1803.08494), equation 1; statistics in float32. The means are taken over positions first, and
    of the channels' means next: XLA:CPU sums whole rows of channels three times as fast as groups of a few.
    With `use_fast_variance` it is E[x^2] - E[x]^2, which loses digits where the mean is far from zero.
    """

    groups: int
    epsilon: float
    dtype: str | None = None
    use_fast_variance: bool = True

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        channels = x_BHWC.shape[-1]
        scale_C = self.param("scale", nn.initializers.ones, (channels,))
        bias_C = self.param("bias", nn.initializers.zeros, (channels,))
        dtype = self.dtype or jnp.promote_types(x_BHWC.dtype, jnp.float32)
        x_BHWC = x_BHWC.astype(jnp.float32)

        def mean(x_BHWC: Array) -> Array:
            mean_BGc = x_BHWC.mean((1, 2)).reshape(len(x_BHWC), self.groups, -1)
            mean_BGc = jnp.broadcast_to(mean_BGc.mean(-1, keepdims=True), mean_BGc.shape)
            return mean_BGc.reshape(len(x_BHWC), 1, 1, channels)

        mean_B11C = mean(x_BHWC)
        if self.use_fast_variance:
            variance_B11C = jnp.maximum(mean(x_BHWC**2) - mean_B11C**2, 0)
        else:
            variance_B11C = mean((x_BHWC - mean_B11C) ** 2)
        scale_B11C = scale_C * jax.lax.rsqrt(variance_B11C + self.epsilon)
        return ((x_BHWC - mean_B11C) * scale_B11C + bias_C).astype(dtype)


def spectral_vectors(params: Any, key: Array, iterations: int = 20, embeddings: bool = True) -> dict[str, Array]:
    """Path of each kernel, and embedding where asked for -> (out,) estimate of its first right singular vector."""
    kernels = {path: w for path, w in _kernels(params).items() if embeddings or not path.endswith("embedding")}
    vectors = {path: jax.random.normal(key, w.shape[-1:]) for path, w in kernels.items()}

    def step(_, vectors):
        return {path: _iterate(w, vectors[path])[1] for path, w in kernels.items()}

    return jax.lax.fori_loop(0, iterations, step, vectors)


def spectral_normalize(params: Any, vectors: dict[str, Array]) -> tuple[Any, dict[str, Array]]:
    """Every kernel that has a vector divided by its largest singular value, after one power iteration on `vectors`.

    A convolution's kernel counts as the matrix (height * width * in, out). The gradient flows through sigma =
    u^T W v with u and v held constant. Miyato et al. 2018 (arXiv:1802.05957), algorithm 1, equation 8.
    """
    new = {}

    def normalize(path, w):
        name = _name(path)
        if name not in vectors:
            return w
        u, new[name] = _iterate(w, vectors[name])
        return w / (u @ _matrix(w) @ new[name])

    return jax.tree_util.tree_map_with_path(normalize, params), new


def _iterate(w: Array, v: Array) -> tuple[Array, Array]:
    m = jax.lax.stop_gradient(_matrix(w))
    u = _unit(m @ v)
    return u, _unit(m.T @ u)


def _matrix(w: Array) -> Array:
    return w.reshape(-1, w.shape[-1])


def _unit(x: Array) -> Array:
    return x / (jnp.linalg.norm(x) + 1e-12)


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _kernels(params: Any) -> dict[str, Array]:
    return {_name(path): w for path, w in jax.tree_util.tree_leaves_with_path(params) if w.ndim > 1}
