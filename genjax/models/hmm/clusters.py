"""k-means, where EM starts from: seeds by k-means++ (Arthur & Vassilvitskii 2007), then Lloyd's iterations."""

import jax
import jax.numpy as jnp

__all__ = ["clusters"]

Array = jax.Array


def clusters(key: Array, x_ND: Array, weight_N: Array, count: int, iterations: int = 20) -> Array:
    """(N, count): each observation's weight in the column of its cluster.

    Dimensions are measured in their own standard deviations. A cluster that loses its members keeps its centre.
    """
    total = jnp.maximum(weight_N.sum(), 1)
    mean_D = weight_N @ x_ND / total
    scale_D = jnp.sqrt(weight_N @ (x_ND - mean_D) ** 2 / total)
    x_ND = (x_ND - mean_D) / jnp.where(scale_D > 0, scale_D, 1)

    def distance(centre_CD: Array) -> Array:
        return ((x_ND[:, None, :] - centre_CD) ** 2).sum(-1)

    def seed(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        """A new centre, an observation drawn in proportion to its squared distance from the nearest centre."""
        centre_CD, number = carry
        there_C = jnp.arange(count) < number
        nearest_N = jnp.where(there_C, distance(centre_CD), jnp.inf).min(1)
        nearest_N = weight_N * jnp.where(number > 0, nearest_N, 1)
        chosen = jax.random.categorical(key, jnp.log(nearest_N + jnp.finfo(x_ND.dtype).tiny))
        return (centre_CD.at[number].set(x_ND[chosen]), number + 1), None

    def lloyd(_, centre_CD: Array) -> Array:
        member_NC = members(centre_CD)
        size_C1 = member_NC.sum(0)[:, None]
        return jnp.where(size_C1 > 0, member_NC.T @ x_ND / jnp.where(size_C1 > 0, size_C1, 1), centre_CD)

    def members(centre_CD: Array) -> Array:
        return weight_N[:, None] * jax.nn.one_hot(distance(centre_CD).argmin(1), count, dtype=x_ND.dtype)

    first = jnp.zeros((count, x_ND.shape[1]), x_ND.dtype)
    (centre_CD, _), _ = jax.lax.scan(seed, (first, jnp.int32(0)), jax.random.split(key, count))
    return members(jax.lax.fori_loop(0, iterations, lloyd, centre_CD))
