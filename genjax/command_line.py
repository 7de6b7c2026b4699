"""Command lines as typed values, by tyro, which is imported when one is read.

A field that may hold one of several registered dataclasses takes their name, `--model.network ConvAutoencoder`, and
then flags for the fields of the one chosen, `--model.network.widths 32 64`.
"""

import contextlib
import copy
import dataclasses
import difflib
import functools
import io
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from genjax.errors import UsageError
from genjax.files import expanded
from genjax.memory import available, readable
from genjax.registry import KINDS

__all__ = ["choose", "flags", "parse", "spelled_out"]

WORDS = ("true", "false", "none")  # of a switch; none where the data decides
UNKNOWN = "Unrecognized options: "  # tyro's words


def flags(cls: type):
    """The type of an argument whose fields are flags of the command itself, without a prefix."""
    import tyro

    return Annotated[cls, tyro.conf.arg(name="")]


def parse(command: str, cls: type, default, argv: list[str]):
    """The arguments as `cls`. What tyro says of a wrong command line, in a box, becomes one line."""
    import tyro

    markers = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    said = io.StringIO()
    arguments = {}
    if default is not None:
        argv, default = choose(argv, default)
        argv, arguments = spelled_out(argv, default), {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(cls, args=argv, prog=f"genjax {command}", config=markers, **arguments)
    except SystemExit as exit:
        if exit.code in (0, None):
            for field in _fields(default) if default is not None else ():
                if field.kinds:
                    print(f"{field.flag} may be {', '.join(sorted(field.kinds))}")
            raise
        raise UsageError(_one_line(said.getvalue(), default, f"`genjax {command} --help` lists them")) from None
    _check(parsed)
    return parsed


class _Field(NamedTuple):
    """A field of nested dataclasses: `kinds` are the registered classes it may hold, where there is a choice."""

    flag: str
    path: tuple[str, ...]
    hint: Any
    kinds: dict[str, type]


def choose(argv: list[str], default) -> tuple[list[str], Any]:
    """The arguments without the choices of a class, and `default` with the classes that were chosen.

    A chosen class starts from its own defaults; fields that have none are those of the same name before.

    Raises:
      UsageError: a name that is no registered class that fits the field, or a class with fields that nothing gives.
    """
    rest, words = [], iter(argv)
    for word in words:
        fields = {field.flag: field for field in _fields(default) if field.kinds}
        flag, equals, name = word.partition("=")
        field = fields.get(_dashed(flag))
        if field is None:
            rest.append(word)
            continue
        name = name if equals else next(words, "")
        if name.lower() == "none" and type(None) in get_args(field.hint):
            default = _replaced(default, field.path, None)
        elif name in field.kinds:
            default = _replaced(default, field.path, _made(field, field.kinds[name], default))
        else:
            near = difflib.get_close_matches(name, field.kinds, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{field.flag} {name}: {hint}there are {', '.join(sorted(field.kinds))}")
    return rest, default


def _made(field: _Field, cls: type, default) -> Any:
    old = default
    for name in field.path:
        old = getattr(old, name)
    if type(old) is cls:
        return old
    given, missing = {}, dataclasses.MISSING
    for part in dataclasses.fields(cls):
        if part.init and part.default is part.default_factory is missing:
            if not hasattr(old, part.name):
                raise UsageError(
                    f"{field.flag} {cls.__name__}: its field {part.name} has no default: choose it in a recipe"
                )
            given[part.name] = getattr(old, part.name)
    return cls(**given)


def _replaced(value, path: tuple[str, ...], new):
    if not path:
        return new
    changed = copy.copy(value)  # unchecked: other flags may bring what goes with the choice, and tyro builds it anew
    object.__setattr__(changed, path[0], _replaced(getattr(value, path[0]), path[1:], new))
    return changed


def _fields(value, prefix: str = "--", path: tuple[str, ...] = ()) -> Iterator[_Field]:
    """Every field of a dataclass and of those inside, by its flag; dicts of dataclasses are no flags."""
    hints = typing.get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):
        hint, inner = hints[field.name], getattr(value, field.name)
        plain = get_origin(hint) is not Annotated  # else its fields are flags of the command itself
        flag = prefix + _dashed(field.name)
        yield _Field(flag, (*path, field.name), hint, _kinds(hint) if plain else {})
        if dataclasses.is_dataclass(inner):
            yield from _fields(inner, f"{flag}." if plain else prefix, (*path, field.name))


def _check(parsed) -> None:
    """Raises UsageError for a whole number of which not even one array fits into memory, and for remote paths."""
    for flag, path, _, _ in _fields(parsed):
        value = functools.reduce(getattr, path, parsed)
        if isinstance(value, Path):
            if re.match(r"\w+:/", str(value)):
                raise UsageError(f"{flag} {value}: is an address, and genjax writes local files: mount it as a folder")
            if not str(value).isprintable():
                raise UsageError(f"{flag} {value}: the name has characters that are no text: choose another")
            expanded(value)
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int and path[-1] != "seed" and 4 * abs(number) > (there := available()):
                size = readable(4 * abs(number))
                spelled = str(number) if abs(number) < 10**40 else f"{str(number)[:20]}..."
                raise UsageError(
                    f"{flag} {spelled}: an array of so many numbers would take {size}, and there are {readable(there)}"
                )


def _kinds(hint) -> dict[str, type]:
    """The registered dataclasses that a field may hold, by name; {} where there is no choice among them."""
    bases = tuple(base for base in (get_args(hint) or (hint,)) if dataclasses.is_dataclass(base))
    kinds = {name: kind for name, kind in KINDS.items() if issubclass(kind, bases)}
    return {} if list(kinds.values()) == [hint] else kinds


def spelled_out(argv: list[str], default) -> list[str]:
    """A switch of `default` alone, or with true or false, as tyro wants it: `--data.strict True`."""
    switches = {field.flag for field in _fields(default) if bool in (field.hint, *get_args(field.hint))}
    out = []
    for arg, following in zip(argv, [*argv[1:], ""]):
        after_switch = bool(out) and _dashed(out[-1]) in switches
        out.append(arg.capitalize() if after_switch and arg.lower() in WORDS else arg)
        if _dashed(arg) in switches and following.lower() not in WORDS:
            out.append("True")
    return out


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _one_line(box: str, default, otherwise: str) -> str:
    rows = [row.strip("│╭╰╮╯─ ") for row in box.splitlines()[1:]]  # the first is a title
    rows = ["" if set(row) == {"-"} else row for row in rows]  # a rule, where the terminal has ASCII only
    parts = [[]]
    for row in rows:
        if row:
            parts[-1].append(row)
        else:  # a rule
            parts.append([])
    parts = [part for part in parts if part] or [[box]]
    text = " ".join(parts[0])
    hint = next((p[1].split()[0] for p in parts[1:] if len(p) > 1 and p[0].startswith("Perhaps you meant")), None)
    if not text.startswith(UNKNOWN):
        return f"{text}; perhaps you meant {hint}" if hint else text
    if default is not None:
        hint = _meant(text.removeprefix(UNKNOWN).split(", ")[0], default) or hint
    return f"{text}; perhaps you meant {hint}" if hint else f"{text}; {otherwise}"


def _meant(word: str, default) -> str | None:
    """What a word stands for: --train.steps for --steps, --optim.learning-rate for --lr, --data.path for data alone."""
    flags = [field.flag for field in _fields(default)]
    if not word.startswith("-"):
        return f"--data.path {word}" if "--data.path" in flags and expanded(Path(word)).exists() else None
    section, _, name = _dashed(word).strip("-").rpartition(".")
    for flag in flags:
        last = flag.rpartition(".")[2]
        initials = "".join(part[:1] for part in last.split("-"))
        if (last == name and not section) or (initials == name and len(name) > 1):
            return flag
    return None
