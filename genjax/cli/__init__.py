"""The commands: thin, each a function of its arguments. Exit status 0, 2 for a wrong command line, 1 otherwise.

What is slow to import, JAX above all, is imported by the command that needs it, after its help.
"""

import contextlib
import difflib
import inspect as python_inspect
import io
import os
import sys
import threading
import traceback
from collections.abc import Callable

from genjax.cli.compare import compare
from genjax.cli.evaluate import evaluate
from genjax.cli.film import film
from genjax.cli.make import corpus, list_recipes, train
from genjax.cli.measure import bench, inspect, plan
from genjax.cli.sweep import sweep
from genjax.cli.use import encode, export, sample
from genjax.errors import UsageError, UserError, visible
from genjax.runtime import host_memory, libtpu, signals

__all__ = ["COMMANDS", "main", "run"]

JAX_SETTINGS = ("jax/_src/config.py", "jax/_src/xla_bridge.py")  # what they raise speaks of JAX_... in the environment
HELP = {"-h", "--help"}
COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "list": list_recipes,
    "train": train,
    "sweep": sweep,
    "sample": sample,
    "eval": evaluate,
    "compare": compare,
    "film": film,
    "inspect": inspect,
    "bench": bench,
    "plan": plan,
    "export": export,
    "encode": encode,
    "corpus": corpus,
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of `genjax`. With `argv` it is called by a program that goes on, and only raises SystemExit."""
    alone = argv is None
    argv = list(sys.argv[1:] if alone else argv)
    debug = "--debug" in argv
    argv = [arg for arg in argv if arg != "--debug"]
    if alone:
        host_memory.use_huge_pages()
        signals.end_at_once()
        libtpu.hush_without_tpu()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # in a terminal of ASCII too
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["MPLBACKEND"] = "agg"  # reports are files, wherever the user's other figures appear
    if not debug and not HELP.intersection(argv):
        _silence()
    try:
        sys.exit(run(argv))
    except (Exception, KeyboardInterrupt) as error:
        status, seconds = _report(error, debug), 0.0
        if status is None:
            if not alone:
                raise
            traceback.print_exc()
            status = 1
        if (jax := sys.modules.get("jax")) and hasattr(jax, "distributed") and jax.distributed.is_initialized():
            seconds = 0.0 if _failed(error) else signals.ORDERLY  # the others end too, or they are not there any more
        if alone:
            signals.leave(status, seconds)  # threads of a failed save would keep the process
        sys.exit(status)


def _report(error: BaseException, debug: bool) -> int | None:
    """Says in one line what a user can act on, and returns the exit status; None for an error of another kind."""
    if _failed(error):
        from genjax.runtime.distributed import DeviceError

        error = error if isinstance(error, DeviceError) else DeviceError(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    if frames and frames[-1].filename.endswith(JAX_SETTINGS):
        error = UserError(f"the environment: {error}")
    if debug or not isinstance(error, UserError | KeyboardInterrupt | OSError | MemoryError):
        return None
    if isinstance(error, BrokenPipeError):  # `genjax list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    unsaid = "interrupted" if isinstance(error, KeyboardInterrupt) else "out of memory"
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(f"genjax: {visible(' '.join(str(error).split()) or unsaid)}", file=sys.stderr)
    return 2 if isinstance(error, UsageError) else 1


def _failed(error: BaseException) -> bool:
    """Whether a compiled program failed: of several processes one may be gone, for which nobody shall wait."""
    if "jax" not in sys.modules or not isinstance(error, Exception):  # Ctrl-C may have left half of JAX
        return False
    import jax

    from genjax.runtime.distributed import DeviceError

    return isinstance(error, DeviceError | jax.errors.JaxRuntimeError)


def _silence() -> None:
    """What becomes one line of ours is told by libraries before, in tracebacks: Orbax, its event loop, its threads."""
    import logging

    import absl.logging

    absl.logging.set_verbosity(absl.logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    threading.excepthook = lambda args: None
    sys.unraisablehook = lambda args: None  # threads of TensorStore call into an event loop that a failed read closed


def run(argv: list[str]) -> int:
    """Runs one command line; returns 0 or raises."""
    if not argv or argv[0] in HELP:
        print(_overview())
        return 0
    if argv[0] == "--version":
        import genjax

        print(f"genjax {genjax.__version__}")
        return 0
    if argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command '{argv[0]}': {hint}")
    command, rest = argv[0], argv[1:]
    if HELP.intersection(rest) and rest[0].startswith("-"):
        print(_help(command))
        return 0
    COMMANDS[command](rest)
    return 0


def _overview() -> str:
    lines = ["genjax: generative models in JAX. `genjax COMMAND --help` says more of each.", ""]
    for name, function in COMMANDS.items():
        first, usage = python_inspect.getdoc(function).splitlines()[0], _usage(name)
        lines += [*(f"  {line}" for line in usage), f"      {first}"]
    return "\n".join(lines)


def _usage(command: str) -> list[str]:
    """The lines of a command's docstring from `genjax COMMAND` on."""
    lines = python_inspect.getdoc(COMMANDS[command]).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"genjax {command}"))
    return lines[first : first + 1] + [f"    {line}" for line in lines[first + 1 :]]


def _help(command: str) -> str:
    text = python_inspect.getdoc(COMMANDS[command])
    _, _, *operands = _usage(command)[0].split()
    return f"{text}\n\n`genjax {command} {operands[0]} --help` lists all options." if operands else text
