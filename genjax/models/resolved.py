"""A model that does not know its data yet says so, and so does a misspelt word, instead of failing somewhere inside."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from genjax.errors import UsageError, UserError
from genjax.spec import DataSpec

if TYPE_CHECKING:
    from genjax.models.base import Model

__all__ = ["once_resolved"]


def once_resolved(init: Callable) -> Callable:
    """`Model.init`, which raises UserError where it fails for data that is not the model's, or a field still open.

    UsageError for a field that holds none of the words it may.
    """

    @functools.wraps(init)
    def checked(self: "Model", key: Any, spec: DataSpec, batch_size: int = 1) -> tuple[Any, Any]:
        _require_choices(self)
        try:
            return init(self, key, spec, batch_size)
        except UserError:
            raise
        except Exception as error:
            found = self.resolve(spec)  # which says what the data lacks
            names = [field.name for field in dataclasses.fields(self)]
            unknown = [name for name in names if getattr(self, name) is None and getattr(found, name) is not None]
            if not unknown:
                raise
            what = f"this {type(self).__name__} does not know its {', '.join(unknown)} yet"
            raise UserError(f"{what}: model = model.resolve(spec) first") from error

    return checked


def _require_choices(owner: Any) -> None:
    """Raises UsageError where a Literal of the dataclass, or of one that it holds, is another word."""
    try:
        hints = get_type_hints(type(owner))
    except NameError:  # a class whose annotations name what only a function knows
        return
    for field in dataclasses.fields(owner):
        value, hint = getattr(owner, field.name), hints[field.name]
        if dataclasses.is_dataclass(value):
            _require_choices(value)
        parts = (hint,) if get_origin(hint) is Literal else get_args(hint)
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        if words and isinstance(value, str) and value not in words and str not in parts:
            raise UsageError(f"{type(owner).__name__}.{field.name} is {value!r}: choose {', '.join(map(str, words))}")
