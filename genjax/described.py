"""What help() says of a dataclass: its docstring, and each field with the comment beside it in the source."""

import ast
import functools
import inspect
import itertools
import re
import types
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

__all__ = ["Described", "Field", "described", "fields_of"]

Class = TypeVar("Class", bound=type)


class Field(NamedTuple):
    """`name: annotation = default  # comment` of a class; "" for what is not there."""

    name: str
    annotation: str
    default: str
    comment: str


class Described:
    """A docstring that is made when it is read, since no training should wait for sources.

    `text` is what the class says itself.
    """

    def __init__(self, text: str | None):
        self.text = inspect.cleandoc(text or "")

    def __get__(self, instance: object, owner: type) -> str:
        fields = {field.name: field for cls in reversed(owner.__mro__) for field in fields_of(cls)}
        lines = [
            f"  {name} ({annotation}{default and ' = ' + default}): {comment}".rstrip()
            for name, annotation, default, comment in fields.values()
        ]
        return "\n".join([self.text, "", "Attributes:", *lines] if lines else [self.text])


def described(cls: Class) -> Class:
    """The dataclass with a docstring that lists its fields, its parents' among them; usable as a decorator."""
    cls.__doc__ = Described(cls.__doc__)
    return cls


def fields_of(cls: type) -> list[Field]:
    """The class's own annotated fields, in their order; none where there is no source, as of a class in a notebook."""
    lines, classes = _classes(inspect.getmodule(cls))
    fields, read = [], 0  # lines whose comments belong to a field before
    for node in classes[cls.__qualname__].body if cls.__qualname__ in classes else ():
        if not isinstance(node, ast.AnnAssign) or "ClassVar" in ast.unparse(node.annotation):
            continue
        above = _comments(reversed(lines[read : node.lineno - 1]))[::-1]
        beside = lines[node.end_lineno - 1][node.end_col_offset :].strip(" #")
        beside = re.sub(r"noqa: \w+(, frozen)?", "", beside)
        below = _comments(lines[node.end_lineno :]) if beside else []
        parts = (ast.unparse(part) if part else "" for part in (node.target, node.annotation, node.value))
        fields.append(Field(*parts, comment=" ".join([beside, *below] if beside else above)))
        read = node.end_lineno + len(below)
    return fields


def _comments(lines: Iterable[str]) -> list[str]:
    """The comments that have their lines to themselves, up to the first other line."""
    found = itertools.takewhile(lambda line: line.lstrip().startswith("#"), lines)
    return [line.strip(" #") for line in found]


@functools.cache
def _classes(module: types.ModuleType | None) -> tuple[list[str], dict[str, ast.ClassDef]]:
    """The lines of a module, and its classes by name."""
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return [], {}
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return source.splitlines(), classes
