"""The errors that a user can act on: one line that names the thing and the cure, no traceback."""

__all__ = ["UsageError", "UserError", "visible"]


def visible(text: str) -> str:
    """The text with control characters spelled out, as what came from outside may speak to the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """Something outside the program is wrong: data, a run directory, a checkpoint, the machine. Exit status 1."""


class UsageError(UserError):
    """The command line or the recipe itself is wrong: a name, a type, a range. Exit status 2."""
