"""Weights of another library as ours and back: a family of its models is a table with a row for each of our arrays."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.errors import UserError

__all__ = ["Family", "Row", "Tensors", "differing", "head", "matrix", "plain", "table", "to_ours", "to_theirs"]

Array = np.ndarray
Tensors = Mapping[str, Array]

DERIVED = {  # what a field left None stands for
    "hidden": lambda model: 4 * model.width,
    "kv_heads": lambda model: model.heads,
    "head_size": lambda model: model.size,
}


class Row(NamedTuple):
    """One of our arrays, and the tensors that it is made of.

    Attributes:
      ours: its name, parts joined with "/"; "state:" before the first says that it is of the model's state.
      theirs: names of tensors; with {} for the number of a block, over all of which ours is stacked.
      join: their arrays (of one block) -> ours.
      split: ours -> theirs, which `join` joins again bit by bit.
    """

    ours: str
    theirs: tuple[str, ...]
    join: Callable[..., Array]
    split: Callable[[Array], tuple[Array, ...]]


class Family(NamedTuple):
    """Models of one kind in another library, as folders of config.json and safetensors.

    Attributes:
      name: what config.json calls them.
      style: the fields of our model that are the same in all of them.
      fields: config.json -> the fields that are its own, PART.NAME those of a part of the model. Raises UserError for
        a value that ours has no field for.
      config: (our model, id that ends a text or None) -> config.json.
      rows: our model -> its rows.
      aliases: (our model) -> {tensor that a file may have beside: the tensor that it must be equal to}.
      unread: pattern of tensors that hold nothing learned.
      prefix: the first word of names, which a file may leave out.
      old: (part of a name, what older files have in its place).
      file: where the tensors are.
    """

    name: str
    style: Mapping[str, Any]
    fields: Callable[[Mapping[str, Any]], dict[str, Any]]
    config: Callable[[Any, int | None], dict[str, Any]]
    rows: Callable[[Any], list[Row]]
    aliases: Callable[[Any], Mapping[str, str]] = lambda model: {}
    unread: str = r"(?!)"
    prefix: str = ""
    old: tuple[tuple[str, str], ...] = ()
    file: str = "model.safetensors"


def setting(model: Any, name: str) -> Any:
    """A field of the model, or of a part of it (PART.NAME), or what it stands for where it is None."""
    value = functools.reduce(lambda part, field: getattr(part, field, None), name.split("."), model)
    return DERIVED[name](model) if value is None and name in DERIVED else value


def differing(model: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `fields` that the model has other values of."""

    def same(a: Any, b: Any) -> bool:
        return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b

    return {name: value for name, value in fields.items() if not same(setting(model, name), value)}


def plain(ours: str, theirs: str) -> Row:
    """The same array."""
    return Row(ours, (theirs,), lambda x: x, lambda x: (x,))


def matrix(ours: str, theirs: str) -> Row:
    """(in, out) here, (out, in) there."""
    return Row(ours, (theirs,), lambda x: x.T, lambda x: (x.T,))


def table(ours: str, theirs: str, rows: int, multiple: int) -> Row:
    """(V, D), which has more rows here, up to a `multiple`: they are 0 and never drawn."""
    return Row(ours, (theirs,), lambda x: np.pad(x, ((0, -len(x) % multiple), (0, 0))), lambda x: (x[:rows],))


def head(ours: str, theirs: str, rows: int, multiple: int) -> Row:
    """The matrix of a head, (D, V) here: a `table` otherwise."""
    padded = table(ours, theirs, rows, multiple)
    return Row(ours, (theirs,), lambda x: padded.join(x).T, lambda x: padded.split(x.T))


def to_ours(family: Family, model: Any, tensors: Tensors, layers: int) -> dict[str, Any]:
    """The params of `model`, float32, of tensors by their names there.

    Raises:
      UserError: a tensor is missing, is not equal to the one that it stands for, or belongs to nothing.
    """
    left = set(tensors)

    def get(name: str) -> Array:
        older = name
        for new, old in family.old:
            older = older.replace(new, old)
        found = next((known for known in (name, name.removeprefix(family.prefix), older) if known in tensors), None)
        if found is None:
            raise UserError(f"its weights lack the tensor '{name}' of a {family.name}")
        left.discard(found)
        return np.asarray(tensors[found], np.float32)

    tree: dict[str, Any] = {}
    for row in family.rows(model):
        try:
            if any("{}" in name for name in row.theirs):
                value = np.stack([row.join(*(get(name.format(n)) for name in row.theirs)) for n in range(layers)])
            else:
                value = row.join(*map(get, row.theirs))
        except UserError:
            raise
        except (ValueError, IndexError) as error:  # of numpy: a shape that cannot be cut into heads
            raise UserError(f"its '{row.theirs[0]}' is not of the shape that config.json says ({error})") from None
        *path, name = row.ours.split("/")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[name] = value
    for name, other in family.aliases(model).items():
        if name in left:
            if not np.array_equal(get(name), get(other)):
                raise UserError(f"its '{name}' is not its '{other}': a head of its own needs --model.tied False")
            left.discard(name)
    if odd := sorted(name for name in left if not re.search(family.unread, name)):
        raise UserError(f"its tensor '{odd[0]}' is none of a {family.name} as its config.json describes it")
    return tree


def to_theirs(family: Family, model: Any, params: Mapping[str, Any], layers: int) -> dict[str, Array]:
    """The tensors of `params`, by their names there, float32."""
    tensors = {}
    for row in family.rows(model):
        value: Any = params
        for part in row.ours.split("/"):
            value = value[part]
        value = np.asarray(value, np.float32)
        if not any("{}" in name for name in row.theirs):
            tensors |= dict(zip(row.theirs, row.split(value)))
            continue
        for n in range(layers):
            tensors |= {name.format(n): x for name, x in zip(row.theirs, row.split(value[n]))}
    return {name: np.ascontiguousarray(x) for name, x in tensors.items()}
