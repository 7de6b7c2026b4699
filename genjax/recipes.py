"""Finding, loading and storing experiments: recipes are Python files, a run's config.json is their resolved form."""

import ast
import contextlib
import dataclasses
import difflib
import hashlib
import importlib.util
import json
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genjax import models  # noqa: F401  (registers the systems that a config.json may name)
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.files import absolute, read_json
from genjax.models.base import Model
from genjax.plain import dump, read
from genjax.registry import KINDS
from genjax.spec import DataSpec

__all__ = [
    "CONFIG",
    "FORMAT",
    "check_round_trip",
    "description",
    "from_dict",
    "has_run",
    "load_experiment",
    "load_module",
    "recipe_file",
    "recipe_files",
    "require_format",
    "to_dict",
]

CONFIG = "config.json"  # of a run directory
OTHERS = ("format", "recipe", "system", "spec", "tokenizer")  # of config.json, beside the sections of the experiment
SECONDS = 60  # that a recipe may take: it describes a run, and computes nothing
FORMAT = 2  # of config.json; genjax 0.1 wrote none


def recipe_files() -> dict[str, Path]:
    """Name -> file of every recipe of the suite: `configs/` beside the package, or inside it when installed."""
    package = Path(__file__).parent
    folders = [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]
    files = [file for folder in folders[:1] for file in sorted(folder.glob("*/*.py"))]
    return {file.stem: file for file in files}


def recipe_file(name_or_path: str | Path) -> Path:
    """The file of a recipe: of its name (`vae_digits`), or its own path.

    Raises:
      UsageError: an unknown name (the nearest ones are suggested), or no such file.
    """
    path = Path(name_or_path)
    if path.suffix != ".py":
        known = recipe_files()
        if str(name_or_path) not in known:
            near = difflib.get_close_matches(str(name_or_path), known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `genjax list`"
            raise UsageError(f"unknown recipe '{name_or_path}': {hint}")
        return known[str(name_or_path)]
    if not path.is_file():
        raise UsageError(f"recipe file '{path}' does not exist")
    return path


def load_experiment(name_or_path: str | Path) -> Experiment:
    """The experiment of a recipe: its name (`vae_digits`), the path of its file, or a run directory.

    Raises:
      UsageError: as `recipe_file` and `load_module`, or a file that defines no `experiment`.
      UserError: as `from_dict`, of a run.
    """
    if (config := Path(name_or_path) / CONFIG).is_file():
        return from_dict(read_json(config), config)[0]
    path = recipe_file(name_or_path)
    experiment = getattr(load_module(path), "experiment", None)
    if not isinstance(experiment, Experiment):
        raise UsageError(f"recipe file '{path}' defines no `experiment = genjax.Experiment(...)`")
    try:  # its values are of the types that their fields declare
        read(Experiment, dump(Experiment, experiment, ""), "")
    except UserError as error:
        raise UsageError(f"recipe file '{path}': {error}") from None
    return experiment


def description(path: Path) -> str:
    """The docstring of a recipe file, read without running it."""
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def load_module(path: Path) -> types.ModuleType:
    """Runs a recipe file, once, and returns its module. A copy of the file is the same module.

    Raises:
      UsageError: the file is missing, or fails: its own line is named.
    """
    file = absolute(path)
    try:
        name = _module_name(Path(file))
    except OSError as error:
        raise UsageError(f"recipe file '{path}' cannot be read: {error.strerror}") from None
    if name in sys.modules:
        return sys.modules[name]
    _forget(file)  # if it was edited since
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        with _within(SECONDS):
            spec.loader.exec_module(module)
    except BaseException as error:  # SystemExit and Ctrl-C too
        _forget(file)
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        raise UsageError(f"recipe file '{path}', line {line}, fails: {type(error).__name__}: {error}") from error
    return module


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in code that runs longer, in the main thread of a system that has alarms."""

    def stop(number, frame):
        raise TimeoutError(f"it has run for {seconds} seconds")

    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before, left = signal.signal(signal.SIGALRM, stop), signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(left)
        signal.signal(signal.SIGALRM, before)


def _forget(file: str) -> None:
    """Unregisters the classes that a recipe file has defined."""
    for name, cls in list(KINDS.items()):
        if getattr(sys.modules.get(cls.__module__), "__file__", None) == file:
            del KINDS[name]


def to_dict(experiment: Experiment, recipe: str, spec: DataSpec, tokenizer: str | None = None) -> dict:
    """The JSON form of a resolved experiment: `from_dict` is its inverse. `tokenizer` is the fingerprint of the run's.

    Raises:
      UsageError: a class that `from_dict` could not find again, as it is not registered.
    """
    sections = dump(Experiment, experiment, "")
    return {
        "format": FORMAT,
        "recipe": absolute(recipe) if recipe.endswith(".py") else recipe,
        "system": sections["model"].pop("type"),
        **sections,
        "spec": dump(DataSpec, spec, "spec"),
        "tokenizer": tokenizer,
    }


def from_dict(config: dict, place: str | Path = "config.json") -> tuple[Experiment, DataSpec]:
    """(experiment, data spec) from a config.json. Only registered classes are built, and no recipe is run.

    Raises:
      UserError: another format, a system that is not registered, a value that does not fit its field; `place` names
        the file.
    """
    require_format(config, place)
    system, recipe = config.get("system"), config["recipe"]
    cls = KINDS.get(system) if isinstance(system, str) else None
    if cls is None or not issubclass(cls, Model):
        known = ", ".join(sorted(name for name, kind in KINDS.items() if issubclass(kind, Model)))
        file = recipe if recipe.endswith(".py") else "FILE"
        raise UserError(
            f"{place} names the system {system!r}, which is not registered: there are {known}. The recipe that defines "
            f"it is run only if you name it: --recipe {file!r}, or `genjax train {file}`"
        )
    sections = {name: value for name, value in config.items() if name not in OTHERS}
    if isinstance(sections.get("model"), dict):
        sections["model"] = {"type": system} | sections["model"]
    try:
        return read(Experiment, sections, f"{place}"), read(DataSpec, config.get("spec", {}), f"{place}: spec")
    except RecursionError:
        raise UserError(f"{place} is nested too deeply") from None


def has_run(path: Path) -> bool:
    """Whether `load_module` has executed the file as it is now."""
    return _module_name(path) in sys.modules


def _module_name(path: Path) -> str:
    return f"genjax_recipe_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def require_format(config: dict, place: str | Path) -> None:
    """Raises UserError where a config.json was written by a genjax whose runs this one does not read, or is damaged."""
    if config.get("format") != FORMAT:
        raise UserError(
            f"{place} is of another version of genjax (format {config.get('format', 1)!r}, and {FORMAT} here): sample "
            "that run with the version of its environment.json, or start a new one from its weights: "
            f"--train.init-from {Path(place).parent / 'weights.safetensors'}"
        )
    if not isinstance(config.get("recipe"), str):
        raise UserError(f"{place}: recipe is {config.get('recipe')!r}, and must be the name or the file of the recipe")


def check_round_trip(experiment: Experiment, spec: DataSpec) -> None:
    """Raises UsageError where a run of this experiment could not be restored from its config.json."""
    config = to_dict(experiment, "", spec)
    try:
        again, spec_again = from_dict(json.loads(json.dumps(config)))
    except UserError as error:
        raise UsageError(f"this recipe cannot be stored: {error}") from None
    if field := _changed(experiment, again, "") or _changed(spec, spec_again, "spec"):
        raise UsageError(
            f"this recipe cannot be stored: its {field} does not come back from JSON as it was: take tuples instead of "
            "lists, and numbers, text or registered dataclasses"
        )


def _changed(one: Any, other: Any, place: str) -> str:
    """The innermost field of dataclasses that differs; "" where none does."""
    if type(one) is type(other) and dataclasses.is_dataclass(one):
        parts = ((name, getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
        return next(filter(None, (_changed(a, b, f"{place}.{name}".lstrip(".")) for name, a, b in parts)), "")
    return "" if one == other else place
