"""The gradient of one turn: whole, or accumulated over micro-batches; over all replicas. A choice of the recipe.

Every term of a loss is a quotient of sums over the micro-batches and replicas i, scale * sum_i total_i / sum_i count_i:

    gradient = sum_t scale_t (sum_i grad total_ti) / (sum_i count_ti)

which is the gradient of the loss of the whole batch; a mean of means is not, as soon as counts differ. Counts do not
depend on parameters: they are summed first, and one backward pass serves all terms.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.engine.form import require_loss
from genjax.errors import UsageError
from genjax.experiment import Gradient
from genjax.models.base import Batch, LossOutput, Params, Term
from genjax.nn.sharding import BATCH, replica_axis

__all__ = ["Outcome", "gradient"]

Tree = Any
Loss = Callable[[Params, Tree, Batch], LossOutput]
Counts = dict[str, jax.Array]


class Outcome(NamedTuple):
    """What a turn leaves behind, of the whole batch and all replicas; `metrics` are values by name, with "loss"."""

    grads: Params
    metrics: dict[str, jax.Array]
    state: Tree
    sums: Tree
    rows: Tree


class _Part(NamedTuple):
    """Of one micro-batch: what is added up, what each row has, and the scales, which all micro-batches share."""

    added: tuple[Params, dict[str, tuple], dict[str, tuple], Tree]  # grads; (total, count) of terms, metrics; sums
    rows: Tree
    scales: tuple[dict, dict]


def gradient(
    loss: Loss,
    trained: Params,
    state: Tree,
    batch: Batch,
    key: jax.Array,
    *,
    how: Gradient = Gradient(),
    batch_size: int,
    micro_batches: int = 1,
    unroll: bool | int = 1,
) -> Outcome:
    """Gradients of `trained`, metrics, new state, sums and rows.

    Args:
      loss: (trained entries, state, batch) -> LossOutput; state passes through the micro-batches in order.
      key: of the gradient's own noise.
      batch_size: examples of the global batch, by which the noisy sum of per-example gradients is divided.
      micro_batches: k; k must divide the batch. Micro-batch i takes the rows i, i + k, i + 2k, ..., so that each
        device keeps the rows that it has.
      unroll: of the loop over micro-batches; True where loops are slow (convolutions on CPU).

    Raises:
      UsageError: per-example gradients of a model with state; an order that leaves rows empty with plain ones.
    """
    loss = functools.partial(_checked, loss)
    split, first = {}, batch
    if micro_batches > 1:
        split = {k: x.reshape(-1, micro_batches, *x.shape[1:]).swapaxes(0, 1) for k, x in batch.items()}
        first = {k: x[0] for k, x in split.items()}
    if how.kind == "per_example":
        if jax.tree.leaves(state) or not trained:
            why = "keeps state, which mixes examples" if trained else "is trained without a gradient"
            raise UsageError(f"--train.gradient.kind per_example: this model {why}")
        one = functools.partial(_clipped, loss, trained, how.clip_norm)
    else:
        if "valid" in batch:
            raise UsageError("this order leaves rows of a batch empty: it needs --train.gradient.kind per_example")
        counts = None
        if micro_batches > 1:

            def count(total: Counts, micro: Batch):
                return jax.tree.map(jnp.add, total, _counts(loss(trained, state, micro))), None

            zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: _counts(loss(trained, state, first))))
            counts = over_replicas(jax.lax.scan(count, zeros, split, unroll=unroll)[0])
        one = functools.partial(_plain, loss, trained, counts)

    if micro_batches == 1:
        part, state = one(state, first)
        rows = part.rows
    else:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, state, first)[0].added)

        def body(carry, micro):
            added, state = carry
            part, state = one(state, micro)
            return (jax.tree.map(jnp.add, added, part.added), state), (part.rows, part.scales)

        (added, state), (rows, scales) = jax.lax.scan(body, (zeros, state), split, unroll=unroll)
        rows = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), rows)
        part = _Part(added, rows, jax.tree.map(lambda x: x[-1], scales))

    grads, terms, metrics, sums = over_replicas(part.added)
    if axis := replica_axis():
        rows = jax.tree.map(lambda x: jax.lax.all_gather(x, axis, tiled=True), rows)
    if how.kind == "per_example":
        grads = _noisy_mean(grads, key, how, batch_size)
    grads = jax.tree.map(lambda g, p: g.astype(p.dtype), grads, trained)
    return Outcome(grads, _values(terms, metrics, part.scales), state, sums, rows)


def over_replicas(tree: Tree) -> Tree:
    """Sums over pmap's replicas; as it is elsewhere."""
    axis = replica_axis()
    return jax.lax.psum(tree, axis) if axis else tree


def _checked(loss: Loss, trained: Params, state: Tree, batch: Batch) -> LossOutput:
    """The loss's output, its form checked while tracing."""
    out = loss(trained, state, batch)
    require_loss(out, state, batch)
    return out


def _counts(out: LossOutput) -> Counts:
    return {name: jax.lax.stop_gradient(jnp.asarray(term.count, jnp.float32)) for name, term in out.terms.items()}


def _plain(loss: Loss, trained: Params, counts: Counts | None, state: Tree, batch: Batch) -> tuple[_Part, Tree]:
    """`counts` are those of the whole batch; None where this is the whole batch."""

    def scalar(trained: Params):
        out = loss(trained, state, batch)
        whole = over_replicas(_counts(out)) if counts is None else counts
        value = sum((t._replace(count=whole[n]).value for n, t in out.terms.items()), jnp.float32(0))
        return value, out

    grads, out = jax.grad(scalar, has_aux=True)(trained)
    return _part(jax.tree.map(lambda g: g.astype(jnp.float32), grads), out), out.state


def _clipped(loss: Loss, trained: Params, clip_norm: float, state: Tree, batch: Batch) -> tuple[_Part, Tree]:
    """The sum of the examples' own gradients, each cut to the norm `clip_norm` (Abadi et al. 2016, algorithm 1)."""
    counted_B = batch.get("valid", jnp.ones(batch["index"].shape, bool)).astype(jnp.float32)

    def of_example(row: Batch, counted: jax.Array):
        def scalar(trained: Params):
            out = loss(trained, state, {name: x[None] for name, x in row.items() if name != "valid"})
            return out.loss, out

        grads, out = jax.grad(scalar, has_aux=True)(trained)
        if jax.tree.leaves((out.sums, out.rows)):
            raise UsageError("--train.gradient.kind per_example: this model sums its examples beside the gradient")
        grads = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
        share = counted * jnp.minimum(1.0, clip_norm / jnp.maximum(optax.tree.norm(grads), 1e-12))
        part = _part(jax.tree.map(lambda g: share * g, grads), out)
        grads, terms, metrics, sums = part.added
        return part._replace(added=(grads, *jax.tree.map(lambda x: counted * x, (terms, metrics, sums))))

    parts = jax.vmap(of_example, spmd_axis_name=None if replica_axis() else BATCH)(batch, counted_B)
    added = jax.tree.map(lambda x: x.sum(0), parts.added)
    rows, scales = jax.tree.map(lambda x: x[:, 0], parts.rows), jax.tree.map(lambda x: x[0], parts.scales)
    return _Part(added, rows, scales), state


def _noisy_mean(sums: Params, key: jax.Array, how: Gradient, batch_size: int) -> Params:
    """(sum + N(0, (noise_multiplier clip_norm)^2)) / batch_size, the same noise on every replica."""
    leaves, form = jax.tree.flatten(sums)
    keys = jax.random.split(key, max(len(leaves), 1))
    std = how.noise_multiplier * how.clip_norm
    noisy = [(x + std * jax.random.normal(k, x.shape)) / batch_size for x, k in zip(leaves, keys)]
    return jax.tree.unflatten(form, noisy)


def _part(grads: Params, out: LossOutput) -> _Part:
    def pair(term: Term) -> tuple[jax.Array, jax.Array]:
        return term.total, jnp.asarray(term.count, jnp.float32)

    terms = {name: pair(term) for name, term in out.terms.items()}
    metrics = {name: pair(term) for name, term in out.metrics.items()}
    scales = [{n: jnp.asarray(t.scale, jnp.float32) for n, t in of.items()} for of in (out.terms, out.metrics)]
    return _Part((grads, terms, metrics, out.sums), out.rows, tuple(scales))


def _values(terms: dict, metrics: dict, scales: tuple[dict, dict]) -> dict[str, jax.Array]:
    """The loss, its terms where there are several, and the metrics, which may take a term's name."""
    by_term = {name: Term(*pair, scales[0][name]).value for name, pair in terms.items()}
    by_metric = {name: Term(*pair, scales[1][name]).value for name, pair in metrics.items()}
    total = sum(by_term.values(), jnp.float32(0))
    return {"loss": total} | (by_term if len(by_term) > 1 else {}) | by_metric
