"""The gradient of one turn: whole, or accumulated over micro-batches; over all replicas. A replaceable function.

Every number is a weighted sum: with weights w_i (examples, or unmasked tokens) of the micro-batches and replicas,

    gradient = sum_i w_i grad(loss_i) / sum_i w_i

which is the gradient of the mean over all examples; a mean of means is not, as soon as the weights differ.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from genjax.models.base import Batch, LossOutput, Params
from genjax.nn.sharding import replica_axis

Tree = Any
Loss = Callable[[Params, Tree, Batch], LossOutput]


def gradient(
    loss: Loss, trained: Params, state: Tree, batch: Batch, *, micro_batches: int = 1, unroll: bool | int = 1
) -> tuple[Params, dict[str, jax.Array], Tree]:
    """(gradients of `trained`, metrics with "loss", new state), each averaged over the global batch by weight.

    Args:
      loss: (trained entries, state, batch) -> LossOutput; state passes through the micro-batches in order.
      micro_batches: k; k must divide the batch. Micro-batch i takes the rows i, i + k, i + 2k, ..., so that each
        device keeps the rows that it has.
      unroll: of the loop over micro-batches; True where loops are slow (convolutions on CPU).
    """

    def one(state: Tree, batch: Batch):
        def scalar(trained):
            out = loss(trained, state, batch)
            # Checked while tracing: means are scalars in float32, and the state keeps its form.
            chex.assert_shape((out.loss, out.weight, *out.metrics.values()), ())
            chex.assert_type((out.loss, *out.metrics.values()), jnp.float32)
            chex.assert_trees_all_equal_shapes_and_dtypes(out.state, state)
            return out.loss, out

        grads, out = jax.grad(scalar, has_aux=True)(trained)
        values = (grads, {"loss": out.loss, **out.metrics})
        weighted = jax.tree.map(lambda x: x.astype(jnp.float32) * out.weight, values)
        return (weighted, out.weight), out.state

    if micro_batches == 1:
        sums, state = one(state, batch)
    else:
        split = {k: x.reshape(-1, micro_batches, *x.shape[1:]).swapaxes(0, 1) for k, x in batch.items()}
        first = jax.tree.map(lambda x: x[0], split)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, state, first)[0])

        def body(carry, micro):
            sums, state = carry
            new, state = one(state, micro)
            return (jax.tree.map(jnp.add, sums, new), state), None

        (sums, state), _ = jax.lax.scan(body, (zeros, state), split, unroll=unroll)

    if axis := replica_axis():
        sums = jax.lax.psum(sums, axis)
    (grads, metrics), weight = sums
    weight = jnp.maximum(weight, jnp.finfo(jnp.float32).tiny)  # a batch in which nothing counts moves nothing
    grads, metrics = jax.tree.map(lambda x: x / weight, (grads, metrics))
    return jax.tree.map(lambda g, p: g.astype(p.dtype), grads, trained), metrics, state
