"""A model that does not know its data yet says so, instead of failing somewhere inside."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genjax.errors import UserError
from genjax.spec import DataSpec

if TYPE_CHECKING:
    from genjax.models.base import Model

__all__ = ["once_resolved"]


def once_resolved(init: Callable) -> Callable:
    """`Model.init`, which raises UserError where it fails for data that is not the model's, or a field still open."""

    @functools.wraps(init)
    def checked(self: "Model", key: Any, spec: DataSpec, batch_size: int = 1) -> tuple[Any, Any]:
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
