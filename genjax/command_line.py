"""Command lines as typed values, by tyro, which is imported when one is read."""

import contextlib
import io
from typing import Annotated

from genjax.errors import UsageError


def flags(cls: type):
    """The type of an argument whose fields are flags of the command itself, without a prefix."""
    import tyro

    return Annotated[cls, tyro.conf.arg(name="")]


def spelled_out(argv: list[str], *names: str) -> list[str]:
    """`--name` alone, or with true or false, as tyro wants it: `--name True`."""
    out = []
    for arg, following in zip(argv, [*argv[1:], ""]):
        spelled = arg.capitalize() if out and out[-1] in names and arg.lower() in ("true", "false") else arg
        out.append(spelled)
        if arg in names and following.lower() not in ("true", "false"):
            out.append("True")
    return out


def parse(command: str, cls: type, default, argv: list[str]):
    """The arguments as `cls`. What tyro says of a wrong command line, in a box, becomes one line."""
    import tyro

    markers = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    said = io.StringIO()
    arguments = {"default": default} if default is not None else {}
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
