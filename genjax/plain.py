"""Dataclasses as plain JSON values and back, checked against their annotations.

A value is written as its declared type says. Where its class is not exactly that type (a union, a base class), it is
an object with "type", the registered name of the class.
"""

import contextlib
import dataclasses
import difflib
import json
import sys
import types
import typing
from typing import Any

from genjax.errors import UsageError, UserError
from genjax.registry import KINDS

__all__ = ["dump", "read"]

WORDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}


def dump(hint: Any, value: Any, place: str) -> Any:
    """The JSON form of a value whose declared type is `hint`; `place` names it in errors.

    Raises:
      UsageError: a class that has to be named, and is not registered; a value that JSON has no form for.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls, hints = type(value), typing.get_type_hints(type(value))
        fields = {name: dump(hints[name], getattr(value, name), _inside(place, name)) for name in _fields(cls)}
        if _members(hint) == [cls]:
            return fields
        if KINDS.get(cls.__name__) is not cls:
            raise UsageError(
                f"{place}: the class {cls.__module__}.{cls.__qualname__} is not registered, and a run of it could not "
                "be restored: decorate it with @genjax.register"
            )
        return {"type": cls.__name__} | fields
    container = dict if isinstance(value, dict) else tuple
    inner = next((typing.get_args(m) for m in _members(hint) if typing.get_origin(m) is container), ())
    if isinstance(value, dict):
        return {name: dump(inner[1] if inner else Any, item, _inside(place, name)) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [dump(_item(inner, i), item, f"{place}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    raise UsageError(
        f"{place} is a {type(value).__name__}, which cannot be stored: take numbers, text, tuples or dicts"
    )


def read(hint: Any, value: Any, place: str) -> Any:
    """The value of type `hint` that `dump` wrote; lists become tuples.

    Raises:
      UserError: a wrong type, NaN or infinity, an unknown or missing field, an unknown type. It names the place, what
        was found and what is wanted.
    """
    members = _members(hint)
    if value is None and (hint is None or type(None) in typing.get_args(hint)):
        return None
    kinds = tuple(member for member in members if dataclasses.is_dataclass(member))
    if isinstance(value, dict) and (kinds or (hint is Any and "type" in value)):
        return _build(_class_of(kinds or (object,), value, place), value, place)
    if len(members) == 1:
        return _read(members[0], value, place)
    for member in members:
        with contextlib.suppress(UserError):
            return _read(member, value, place)
    raise _unfit(hint, value, place)


def _read(hint: Any, value: Any, place: str) -> Any:
    """`read`, where the hint is neither a union nor a dataclass."""
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if isinstance(value, list) and origin in (tuple, Any):
        if not inner or inner[-1] is ... or len(inner) == len(value):
            return tuple(read(_item(inner, i), item, f"{place}[{i}]") for i, item in enumerate(value))
    elif isinstance(value, dict) and origin in (dict, Any):
        return {name: read(inner[1] if inner else Any, item, _inside(place, name)) for name, item in value.items()}
    elif origin is typing.Literal:
        if any(value == choice and type(value) is type(choice) for choice in inner):
            return value
    elif origin is float or (origin is Any and type(value) is float):
        if type(value) in (int, float) and abs(value) <= sys.float_info.max:  # neither NaN nor infinite
            return value
    elif origin is int:
        if type(value) is int and abs(value) < 2**63:
            return value
    elif origin is Any or (isinstance(origin, type) and type(value) is origin):
        return value
    raise _unfit(hint, value, place)


def _class_of(kinds: tuple[type, ...], value: dict, place: str) -> type:
    """The class that an object names, or the only one that it can be."""
    known = KINDS.values()
    if "type" not in value and len(kinds) == 1 and (kinds[0] in known or dataclasses.fields(kinds[0])):  # no mere base
        return kinds[0]
    name = value.get("type")
    cls = KINDS.get(name) if isinstance(name, str) else None
    if cls is None or not issubclass(cls, kinds):
        fitting = ", ".join(sorted(n for n, kind in KINDS.items() if issubclass(kind, kinds)))
        found = f"names the type {_short(name)}, which does not fit" if cls else f"has the unknown type {_short(name)}"
        raise UserError(f"{place} {found}: there are {fitting}, and those of a recipe that --recipe FILE names")
    return cls


def _build(cls: type, values: dict, place: str) -> Any:
    fields, hints = _fields(cls), typing.get_type_hints(cls)
    given = {name: value for name, value in values.items() if name != "type"}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f": perhaps {near[0]} is meant" if near else ""
            raise UserError(f"{_inside(place, name)} is a field that {cls.__name__} does not know{hint}")
    for name, field in fields.items():
        if name not in given and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{_inside(place, name)} is missing: {cls.__name__} needs {_wanted(hints[name])}")
    arguments = {name: read(hints[name], value, _inside(place, name)) for name, value in given.items()}
    try:
        return cls(**arguments)
    except Exception as error:  # of a range that the class itself checks, or of a value that it did not expect
        raise UserError(f"{place}: {error if isinstance(error, UserError) else repr(error)}") from error


def _fields(cls: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def _members(hint: Any) -> list:
    """The types of a union but None; the type itself where it is no union."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [member for member in typing.get_args(hint) if member is not type(None)]
    return [hint]


def _item(inner: tuple, number: int) -> Any:
    """The type of a tuple's item, from the arguments of the tuple's type."""
    return Any if not inner else inner[0] if inner[-1] is ... else inner[min(number, len(inner) - 1)]


def _inside(place: str, name: str) -> str:
    """`FILE: name` at the top of a file, then `FILE: name.name`; `name.name` where no file is named."""
    name = name if str(name).isidentifier() else _short(name)
    top = not place or place.endswith(".json")
    return f"{place}{': ' * bool(place) if top else '.'}{name}"


def _unfit(hint: Any, value: Any, place: str) -> UserError:
    return UserError(f"{place} is {_short(value)}, and must be {_wanted(hint)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(_short, typing.get_args(hint)))
    words = []
    for member in _members(hint):
        origin = typing.get_origin(member) or member
        kind = "an object" if dataclasses.is_dataclass(origin) or origin is dict else "a list"
        words.append(WORDS.get(origin, _wanted(member) if origin is typing.Literal else kind))
    optional = ["null"] if type(None) in typing.get_args(hint) else []
    return " or ".join(dict.fromkeys(words + optional))
