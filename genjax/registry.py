"""Names of the dataclasses that a config.json may speak of: systems, networks, processes, fields of data, orders.

A configuration says {"type": NAME, ...} wherever a field may hold one of several dataclasses. Only registered names are
looked up, so that no file from outside decides which code runs.
"""

from typing import TypeVar

from genjax.described import described
from genjax.errors import UsageError

__all__ = ["KINDS", "register"]

KINDS: dict[str, type] = {}

Class = TypeVar("Class", bound=type)


def register(cls: Class) -> Class:
    """Makes a dataclass known by its class name, and help() list its fields; usable as a decorator.

    Raises:
      UsageError: another class has this name already: a run of one could be restored as the other.
    """
    known = KINDS.get(cls.__name__, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):  # a recipe may be loaded twice
        raise UsageError(
            f"the name {cls.__name__} is taken by {known.__module__}.{known.__qualname__}: rename the class of "
            f"{cls.__module__}"
        )
    KINDS[cls.__name__] = cls
    return described(cls)
