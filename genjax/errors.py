"""The errors that a user can act on: one line that names the thing and the cure, no traceback."""


class UserError(ValueError):
    """Something outside the program is wrong: data, a run directory, a checkpoint, the machine. Exit status 1."""


class UsageError(UserError):
    """The command line or the recipe itself is wrong: a name, a type, a range. Exit status 2."""
