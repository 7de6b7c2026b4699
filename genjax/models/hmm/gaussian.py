"""Gaussian emissions, and mixtures of any emission."""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import require_agreement
from genjax.models.hmm.clusters import clusters
from genjax.models.hmm.emission import Array, Emission, Tree, log_normalized
from genjax.registry import register
from genjax.spec import DataSpec, Field, Real, require

__all__ = ["GaussianEmission", "MixtureEmission"]


@register
@dataclasses.dataclass(frozen=True)
class GaussianEmission(Emission):
    """Vectors: the field `series`, numbers (T,) or (T, D).

    The covariance is L diag(scale^2) L^T with a unit lower triangular L, which is the identity where it is diagonal.
    Statistics are those of x - mean: a mean that is large beside the scale costs float32 no digits.
    """

    covariance: Literal["diagonal", "full"] = "diagonal"
    prior: float = 1e-2  # added to the expected sum of squares in EM: a state of one observation keeps a variance

    def __post_init__(self):
        if self.prior < 0:
            raise UsageError(f"GaussianEmission: prior is {self.prior}, must not be negative")

    @property
    def full(self) -> bool:
        return self.covariance == "full"

    def resolve(self, spec: DataSpec) -> "GaussianEmission":
        series = require(spec, self.field, Real, "HMM with Gaussian emissions")
        if len(series.shape) not in (1, 2):
            raise UsageError(f"HMM needs `series` of shape (T,) or (T, D), and this data has {series.describe()}")
        dims = series.shape[1] if len(series.shape) == 2 else 1
        require_agreement(self, dims=dims)
        return dataclasses.replace(self, dims=dims)

    def kind(self, length: int) -> Field:
        return Real((length, self.dims))

    def free(self, states: int) -> int:
        return states * (self.dims + (self.dims * (self.dims + 1) // 2 if self.full else self.dims))

    def init(self, key: Array, states: int) -> Tree:
        params = {"mean": jax.random.normal(key, (states, self.dims)), "log_scale": jnp.zeros((states, self.dims))}
        return params | ({"lower": jnp.zeros((states, self.dims, self.dims))} if self.full else {})

    def log_prob(self, params: Tree, x: Array) -> Array:
        z = x[..., None, :] - params["mean"]
        if self.full:
            eye = jnp.eye(self.dims)
            factor_KDD = jnp.tril(params["lower"], -1) + eye
            inverse_KDD = jax.scipy.linalg.solve_triangular(
                factor_KDD, jnp.broadcast_to(eye, factor_KDD.shape), lower=True, unit_diagonal=True
            )
            z = jnp.einsum("kde,...ke->...kd", inverse_KDD, z, precision="highest")
        z = z * jnp.exp(-params["log_scale"])
        return -0.5 * (z**2).sum(-1) - params["log_scale"].sum(-1) - 0.5 * self.dims * math.log(2 * math.pi)

    def statistics(self, params: Tree, x: Array, weight: Array) -> Tree:
        z = x[:, None, :] - params["mean"]
        pairs = "nk,nkd,nke->kde" if self.full else "nk,nkd,nkd->kd"
        return {
            "weight": weight.sum(0),
            "sum": jnp.einsum("nk,nkd->kd", weight, z, precision="highest"),
            "square": jnp.einsum(pairs, weight, z, z, precision="highest"),
        }

    def maximize(self, params: Tree, statistics: Tree) -> tuple[Tree, Tree]:
        """Mean and (co)variance of what each state explains; a state that explains nothing stays as it is."""
        weight_K, sum_KD, square = (statistics[name] for name in ("weight", "sum", "square"))
        seen_K1 = weight_K[:, None] > 0
        over_K1 = jnp.where(seen_K1, weight_K[:, None], 1)
        move_KD = jnp.where(seen_K1, sum_KD / over_K1, 0)
        new = {"mean": params["mean"] + move_KD}
        if self.full:
            square = square - jnp.einsum("kd,ke->kde", move_KD, sum_KD)
            variance_KDD = (square + self.prior * jnp.eye(self.dims)) / over_K1[..., None]
            root_KDD = jnp.linalg.cholesky(jnp.where(seen_K1[..., None], variance_KDD, jnp.eye(self.dims)))
            scale_KD = jnp.diagonal(root_KDD, axis1=-2, axis2=-1)
            lower_KDD = jnp.tril(root_KDD / scale_KD[:, None, :], -1)
            new["lower"] = jnp.where(seen_K1[..., None], lower_KDD, params["lower"])
        else:
            square = square - move_KD * sum_KD
            scale_KD = jnp.sqrt((square + self.prior) / over_K1)
        new["log_scale"] = jnp.where(seen_K1, jnp.log(scale_KD), params["log_scale"])
        return new, {"weight": weight_K, "sum": sum_KD - weight_K[:, None] * move_KD, "square": square}

    def means(self, params: Tree) -> Array:
        return params["mean"]

    def draw(self, params: Tree, key: Array) -> Array:
        z_D = jnp.exp(params["log_scale"]) * jax.random.normal(key, (self.dims,))
        if self.full:
            z_D = (jnp.tril(params["lower"], -1) + jnp.eye(self.dims)) @ z_D
        return params["mean"] + z_D


@register
@dataclasses.dataclass(frozen=True)
class MixtureEmission(Emission):
    """A mixture of `components` emissions of one kind in each state: with Gaussians the GMM-HMM of speech."""

    component: Emission = GaussianEmission()
    components: int = 2

    def __post_init__(self):
        if self.components < 1:
            raise UsageError(f"MixtureEmission: components is {self.components}, must be at least 1")

    @property
    def field(self) -> str:
        return self.component.field

    @property
    def metric(self) -> bool:
        return self.component.metric

    @property
    def one(self) -> jax.ShapeDtypeStruct:
        return self.component.one

    @property
    def width(self) -> int:
        return self.component.width

    def resolve(self, spec: DataSpec) -> "MixtureEmission":
        component = self.component.resolve(spec)
        return dataclasses.replace(self, component=component, dims=component.dims)

    def observations(self, array: Array) -> Array:
        return self.component.observations(array)

    def kind(self, length: int) -> Field:
        return self.component.kind(length)

    def free(self, states: int) -> int:
        return states * (self.components - 1) + self.component.free(states * self.components)

    def init(self, key: Array, states: int) -> Tree:
        component = self.component.init(key, states * self.components)
        return {"logits": jnp.zeros((states, self.components)), "component": self._split(component)}

    def log_prob(self, params: Tree, x: Array) -> Array:
        return jax.nn.logsumexp(self._joint(params, x), axis=-1)

    def statistics(self, params: Tree, x: Array, weight: Array) -> Tree:
        """Each state's weight is shared by its components as they explain the observation."""
        share_NKM = weight[..., None] * jax.nn.softmax(self._joint(params, x), axis=-1)
        return self._statistics(params, x, share_NKM)

    def maximize(self, params: Tree, statistics: Tree) -> tuple[Tree, Tree]:
        component, parts = self.component.maximize(self._flat(params["component"]), statistics["component"])
        new = {"logits": log_normalized(statistics["count"]), "component": self._split(component)}
        return new, {"count": statistics["count"], "component": parts}

    def means(self, params: Tree) -> Array:
        share_KM = jax.nn.softmax(params["logits"])
        means_KMD = self._split(self.component.means(self._flat(params["component"])))
        return jnp.einsum("km,kmd->kd", share_KM, means_KMD)

    def draw(self, params: Tree, key: Array) -> Array:
        which, key = jax.random.split(key)
        chosen = jax.random.categorical(which, params["logits"])
        return self.component.draw(jax.tree.map(lambda x: x[chosen], params["component"]), key)

    def start(self, params: Tree, key: Array, x: Array, weight: Array) -> Tree:
        """k-means finds the states, and again the components of each."""
        states, _ = params["logits"].shape
        first, key = jax.random.split(key)
        state_NK = clusters(first, x, weight, states)
        part_KNM = jax.vmap(lambda k, w: clusters(k, x, w, self.components))(jax.random.split(key, states), state_NK.T)
        return self.maximize(params, self._statistics(params, x, part_KNM.transpose(1, 0, 2)))[0]

    def _joint(self, params: Tree, x: Array) -> Array:
        """(..., K, M) log p(component, x | state)."""
        of_all = self.component.log_prob(self._flat(params["component"]), x)
        return of_all.reshape(*of_all.shape[:-1], -1, self.components) + jax.nn.log_softmax(params["logits"])

    def _statistics(self, params: Tree, x: Array, share_NKM: Array) -> Tree:
        flat_NQ = share_NKM.reshape(len(share_NKM), -1)
        component = self.component.statistics(self._flat(params["component"]), x, flat_NQ)
        return {"count": share_NKM.sum(0), "component": component}

    def _split(self, component: Tree) -> Tree:
        """The first dimension, states times components, as two."""
        return jax.tree.map(lambda p: p.reshape(-1, self.components, *p.shape[1:]), component)

    def _flat(self, component: Tree) -> Tree:
        return jax.tree.map(lambda p: p.reshape(-1, *p.shape[2:]), component)
