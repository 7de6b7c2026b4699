"""The form of what a model returns, checked while a program is traced: a mistake is told where it is made."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import Batch, LossOutput, Term
from genjax.spec import Field, Image

__all__ = ["require_form", "require_loss", "require_samples"]

Tree = Any


def require_loss(out: LossOutput, state: Tree, batch: Batch) -> None:
    """Raises UsageError where a loss has no terms, a number is no float32 scalar, or state or rows have another form.

    The line names the term or the array.
    """
    if not out.terms:
        raise UsageError("the loss has no terms")
    for name, term in {**out.terms, **out.metrics}.items():
        for part, number in zip(Term._fields, term):
            if jnp.shape(number) != ():
                raise UsageError(f"the {part} of `{name}` has the shape {jnp.shape(number)}, and must be one number")
        if jnp.asarray(term.total).dtype != jnp.float32:
            raise UsageError(f"the total of `{name}` is {jnp.asarray(term.total).dtype}, and must be float32")
    require_form("the state that the loss returns", out.state, state)
    rows = batch["index"].shape[0]
    if odd := [x.shape for x in jax.tree.leaves(out.rows) if x.shape[:1] != (rows,)]:
        raise UsageError(f"LossOutput.rows has an array of shape {odd[0]} for a batch of {rows}: one row an example")


def require_form(what: str, got: Tree, wanted: Tree) -> None:
    """Raises UsageError where two trees differ in names, shapes or dtypes; the first array that does is named."""
    ours, theirs = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): (jnp.shape(x), jnp.asarray(x).dtype)
            for path, x in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (got, wanted)
    )
    for name, (shape, dtype) in theirs.items():
        if name not in ours:
            raise UsageError(f"{what} lacks {name}")
        if ours[name] != (shape, dtype):
            raise UsageError(f"{what} has {name} as {ours[name][1]} {ours[name][0]}, and must keep {dtype} {shape}")
    if extra := sorted(ours.keys() - theirs.keys()):
        raise UsageError(f"{what} has {extra[0]}, which was not there before")


def require_samples(system: str, outputs: Mapping[str, Any], fields: Mapping[str, Field], rows: int) -> None:
    """Raises UsageError where samples are not what `Model.outputs` promises: a field each, a row each."""
    if not fields:
        raise UsageError(f"{system} samples, but its `outputs` names no field of what it returns")
    for name, field in fields.items():
        if name not in outputs:
            raise UsageError(f"{system} promises samples of `{name}`, and returns {', '.join(outputs) or 'nothing'}")
        shape, values = outputs[name].shape, field.values()
        same = shape[1:] == values.shape if isinstance(field, Image) else len(shape) == 1 + len(values.shape)
        if shape[:1] != (rows,) or not same:
            wanted = (rows, *values.shape)
            raise UsageError(f"{system} returns samples of `{name}` of the shape {shape}, and must return {wanted}")
