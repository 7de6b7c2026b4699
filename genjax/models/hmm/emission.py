"""What a state emits: the base, symbols, and counts.

An emission is a dataclass of hyper-parameters with pure functions over `params`, arrays whose first dimension is the
states'. EM needs of it expected sufficient statistics, which add up over sequences, and their maximum (Rabiner 1989,
section IV; Dempster et al. 1977). `prior` numbers are those of hmmlearn, which it is compared with.
"""

import dataclasses
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from genjax.errors import UserError
from genjax.models.base import require_agreement
from genjax.registry import register
from genjax.spec import DataSpec, Field, Real, Tokens, require

__all__ = ["CategoricalEmission", "Emission", "PoissonEmission", "log_normalized"]

Array = jax.Array
Tree = Any


@dataclasses.dataclass(frozen=True)
class Emission:
    """Base of the emissions. One of your own is a registered dataclass that extends this one."""

    dims: int | None = dataclasses.field(default=None, kw_only=True)  # of an observation; None = the data's

    field: ClassVar[str] = "series"  # of the data, that is observed
    metric: ClassVar[bool] = True  # observations have distances: k-means can find a start

    def resolve(self, spec: DataSpec) -> Self:
        """The emission with what the data decides filled in. Raises UserError where the data has no such field."""
        raise NotImplementedError

    @property
    def one(self) -> jax.ShapeDtypeStruct:
        """The form of one observation: (D,) numbers, or () a symbol."""
        return jax.ShapeDtypeStruct((self.dims,), jnp.float32)

    @property
    def width(self) -> int:
        """Of a row of `means`."""
        return self.dims

    def observations(self, array: Array) -> Array:
        """(B, T, *one.shape) of the field's array (B, T) or (B, T, D)."""
        return (array if array.ndim == 3 else array[..., None]).astype(jnp.result_type(float))

    def kind(self, length: int) -> Field:
        """The field of sampled sequences of this length."""
        raise NotImplementedError

    def free(self, states: int) -> int:
        """The number of free parameters."""
        raise NotImplementedError

    def init(self, key: Array, states: int) -> Tree:
        raise NotImplementedError

    def log_prob(self, params: Tree, x: Array) -> Array:
        """(..., K) log p(x | state) of observations (..., D), or (...) symbols."""
        raise NotImplementedError

    def statistics(self, params: Tree, x: Array, weight: Array) -> Tree:
        """Sums over all observations (N, ...), each with the weights (N, K) of the states."""
        raise NotImplementedError

    def maximize(self, params: Tree, statistics: Tree) -> tuple[Tree, Tree]:
        """The parameters that make the statistics likeliest; and the statistics, as they are for these parameters."""
        raise NotImplementedError

    def means(self, params: Tree) -> Array:
        """(K, width): what each state emits on average; of symbols, their probabilities."""
        raise NotImplementedError

    def draw(self, params: Tree, key: Array) -> Array:
        """One observation of the one state whose parameters these are, as the field's array holds it."""
        raise NotImplementedError

    def start(self, params: Tree, key: Array, x: Array, weight: Array) -> Tree:
        """Parameters by k-means over the observations (N, D) that have a weight (N,)."""
        from genjax.models.hmm.clusters import clusters

        states = jax.tree.leaves(params)[0].shape[0]
        return self.maximize(params, self.statistics(params, x, clusters(key, x, weight, states)))[0]


def log_normalized(weight: Array) -> Array:
    """log of weights over their sum on the last axis; uniform where they are all zero."""
    total = weight.sum(-1, keepdims=True)
    return jnp.log(jnp.where(total > 0, weight / jnp.where(total > 0, total, 1), 1 / weight.shape[-1]))


@register
@dataclasses.dataclass(frozen=True)
class CategoricalEmission(Emission):
    """One of `symbols`: the field `tokens`, ids in [0, vocabulary)."""

    symbols: int | None = None  # None = the data's
    pseudocount: float = 0.0  # added to the expected count of every symbol: an unseen one keeps a probability

    field: ClassVar[str] = "tokens"
    metric: ClassVar[bool] = False

    def resolve(self, spec: DataSpec) -> "CategoricalEmission":
        tokens = require(spec, self.field, Tokens, "HMM with Categorical emissions")
        require_agreement(self, symbols=tokens.vocabulary)
        return dataclasses.replace(self, symbols=tokens.vocabulary)

    @property
    def one(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((), jnp.int32)

    @property
    def width(self) -> int:
        return self.symbols

    def observations(self, array: Array) -> Array:
        return array

    def kind(self, length: int) -> Tokens:
        return Tokens((length,), self.symbols)

    def free(self, states: int) -> int:
        return states * (self.symbols - 1)

    def init(self, key: Array, states: int) -> Tree:
        """Dirichlet(1), as hmmlearn's."""
        return {"logits": jnp.log(jax.random.dirichlet(key, jnp.ones(self.symbols), (states,)))}

    def log_prob(self, params: Tree, x: Array) -> Array:
        return jax.nn.log_softmax(params["logits"]).T[x]

    def statistics(self, params: Tree, x: Array, weight: Array) -> Tree:
        count_VK = jnp.zeros((self.symbols, weight.shape[-1]), weight.dtype).at[x].add(weight)
        return {"count": count_VK.T}

    def maximize(self, params: Tree, statistics: Tree) -> tuple[Tree, Tree]:
        return {"logits": log_normalized(statistics["count"] + self.pseudocount)}, statistics

    def means(self, params: Tree) -> Array:
        return jax.nn.softmax(params["logits"])

    def draw(self, params: Tree, key: Array) -> Array:
        return jax.random.categorical(key, params["logits"]).astype(jnp.int32)


@register
@dataclasses.dataclass(frozen=True)
class PoissonEmission(Emission):
    """Counts, each of a rate of its own: the field `counts`, integers (T,) from 0 on, or (T, D)."""

    most: int = 2**24  # of a sampled count

    field: ClassVar[str] = "counts"

    def resolve(self, spec: DataSpec) -> "PoissonEmission":
        found = spec.fields.get(self.field)
        dims = found.shape[-1] if isinstance(found, Real) and len(found.shape) == 2 else 1
        if not isinstance(found, Real):
            require(spec, self.field, Tokens, "HMM with Poisson emissions")
        elif not found.counts:
            raise UserError(
                f"HMM with Poisson emissions: `{self.field}` must be whole numbers from 0 on, and not all are"
            )
        require_agreement(self, dims=dims)
        return dataclasses.replace(self, dims=dims)

    def kind(self, length: int) -> Field:
        return Tokens((length,), self.most) if self.dims == 1 else Real((length, self.dims))

    def free(self, states: int) -> int:
        return states * self.dims

    def init(self, key: Array, states: int) -> Tree:
        return {"log_rate": jax.random.normal(key, (states, self.dims))}

    def log_prob(self, params: Tree, x: Array) -> Array:
        """x log rate - rate - log x!; -inf for what is no count."""
        rate = jnp.exp(params["log_rate"])
        nats = x @ params["log_rate"].T - rate.sum(-1) - gammaln(x + 1).sum(-1, keepdims=True)
        counts = ((x >= 0) & (x == jnp.floor(x))).all(-1, keepdims=True)
        return jnp.where(counts, nats, -jnp.inf)

    def statistics(self, params: Tree, x: Array, weight: Array) -> Tree:
        return {"weight": weight.sum(0), "sum": jnp.einsum("nk,nd->kd", weight, x, precision="highest")}

    def maximize(self, params: Tree, statistics: Tree) -> tuple[Tree, Tree]:
        """The mean count of each state; a state that explains nothing keeps its rate."""
        weight, total = statistics["weight"][:, None], statistics["sum"]
        floor = jnp.finfo(total.dtype).tiny  # a state that has only seen zeros
        rate = jnp.log(jnp.maximum(total / jnp.where(weight > 0, weight, 1), floor))
        return {"log_rate": jnp.where(weight > 0, rate, params["log_rate"])}, statistics

    def means(self, params: Tree) -> Array:
        return jnp.exp(params["log_rate"])

    def draw(self, params: Tree, key: Array) -> Array:
        count_D = jax.random.poisson(key, jnp.exp(params["log_rate"]))
        return jnp.minimum(count_D[0], self.most - 1) if self.dims == 1 else count_D.astype(jnp.float32)
