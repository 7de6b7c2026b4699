"""Command lines as typed values, by tyro, which is imported when one is read."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from typing import Annotated, get_args, get_origin

from genjax.errors import UsageError

WORDS = ("true", "false", "none")  # of a switch; none where the data decides


def flags(cls: type):
    """The type of an argument whose fields are flags of the command itself, without a prefix."""
    import tyro

    return Annotated[cls, tyro.conf.arg(name="")]


def spelled_out(argv: list[str], default) -> list[str]:
    """A switch of `default` alone, or with true or false, as tyro wants it: `--data.strict True`."""
    switches, out = set(_switches(default)), []
    for arg, following in zip(argv, [*argv[1:], ""]):
        after_switch = bool(out) and _dashed(out[-1]) in switches
        out.append(arg.capitalize() if after_switch and arg.lower() in WORDS else arg)
        if _dashed(arg) in switches and following.lower() not in WORDS:
            out.append("True")
    return out


def _switches(value, prefix: str = "--") -> Iterator[str]:
    for field in dataclasses.fields(value):
        name = prefix + _dashed(field.name)
        if bool in (field.type, *get_args(field.type)):
            yield name
        elif dataclasses.is_dataclass(inner := getattr(value, field.name)):
            yield from _switches(inner, prefix if get_origin(field.type) is Annotated else f"{name}.")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def parse(command: str, cls: type, default, argv: list[str]):
    """The arguments as `cls`. What tyro says of a wrong command line, in a box, becomes one line."""
    import tyro

    markers = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    said = io.StringIO()
    arguments = {"default": default} if default is not None else {}
    if default is not None:
        argv = spelled_out(argv, default)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(cls, args=argv, prog=f"genjax {command}", config=markers, **arguments)
    except SystemExit as exit:
        if exit.code in (0, None):
            raise
        raise UsageError(_one_line(said.getvalue())) from None


def _one_line(box: str) -> str:
    rows = [row.strip("│╭╰╮╯─ ") for row in box.splitlines() if row.startswith("│")]
    parts = [[]]
    for row in rows:
        if row:
            parts[-1].append(row)
        else:  # a rule
            parts.append([])
    hint = next((p[1] for p in parts[1:] if len(p) > 1 and p[0].startswith("Perhaps you meant")), None)
    text = " ".join(parts[0]) or box
    return f"{text}; perhaps you meant {hint.split()[0]}" if hint else text
