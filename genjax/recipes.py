"""Finding, loading and storing experiments: recipes are Python files, a run's config.json is their resolved form."""

import ast
import dataclasses
import difflib
import importlib.util
import sys
import types
import typing
from pathlib import Path

from genjax import models
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.models.base import Model
from genjax.spec import DataSpec


def recipe_files() -> dict[str, Path]:
    """Name -> file of every recipe of the suite: `configs/` beside the package, or inside it when installed."""
    package = Path(__file__).parent
    folders = [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]
    files = [file for folder in folders[:1] for file in sorted(folder.glob("*/*.py"))]
    return {file.stem: file for file in files}


def load_experiment(name_or_path: str | Path) -> Experiment:
    """The experiment of a recipe: its name (`vae_digits`) or the path of its file.

    Raises:
      UsageError: unknown name (the nearest ones are suggested), or a file that defines no `experiment`.
    """
    path = Path(name_or_path)
    if path.suffix != ".py":
        known = recipe_files()
        if str(name_or_path) not in known:
            near = difflib.get_close_matches(str(name_or_path), known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `genjax list`"
            raise UsageError(f"unknown recipe '{name_or_path}': {hint}")
        path = known[str(name_or_path)]
    elif not path.is_file():
        raise UsageError(f"recipe file '{path}' does not exist")
    module = load_module(path)
    experiment = getattr(module, "experiment", None)
    if not isinstance(experiment, Experiment):
        raise UsageError(f"recipe file '{path}' defines no `experiment = genjax.Experiment(...)`")
    return experiment


def description(path: Path) -> str:
    """The docstring of a recipe file, read without running it."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def load_module(path: Path) -> types.ModuleType:
    """Runs a recipe file and returns its module."""
    spec = importlib.util.spec_from_file_location(f"genjax_recipe_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses defined in a recipe look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"recipe file '{path}' fails: {type(error).__name__}: {error}") from error
    return module


def to_dict(experiment: Experiment, recipe: str, spec: DataSpec) -> dict:
    """The JSON form of a resolved experiment: `from_dict` is its inverse."""
    return {
        "recipe": recipe,
        "system": type(experiment.model).__name__,
        **_plain(experiment),
        "spec": _plain(spec),
    }


def _plain(value):
    """Dataclasses as dicts; a field that may hold one of several says which, as "type"."""
    if not dataclasses.is_dataclass(value):
        return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value
    hints = typing.get_type_hints(type(value))
    plain = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    for name, hint in hints.items():
        if name in plain and isinstance(plain[name], dict) and _choices(hint):
            plain[name] = {"type": type(getattr(value, name)).__name__, **plain[name]}
    return plain


def _choices(hint) -> dict[str, type]:
    """The dataclasses of a union by name; empty where the hint is no such union."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return {cls.__name__: cls for cls in typing.get_args(hint) if dataclasses.is_dataclass(cls)} if union else {}


def from_dict(config: dict) -> tuple[Experiment, DataSpec]:
    """(experiment, data spec) from a config.json. A system of a user's own is registered by loading its recipe.

    Raises:
      UserError: an unknown system or field, as in a run of another version.
    """
    system, recipe = config.get("system"), str(config.get("recipe"))
    if system not in models.SYSTEMS and recipe.endswith(".py") and Path(recipe).is_file():
        load_module(Path(recipe))
    if system not in models.SYSTEMS:
        raise UserError(f"config.json names the system '{system}', which is not registered: {sorted(models.SYSTEMS)}")
    sections = {k: v for k, v in config.items() if k not in ("recipe", "system", "spec")}
    sections["model"] = _build(models.SYSTEMS[system], sections.get("model", {}))
    return _build(Experiment, sections), _build(DataSpec, config.get("spec", {}))


def _build(cls: type, values: dict):
    """A dataclass from JSON values: nested dataclasses by the field's type, lists as tuples."""
    fields, hints = {f.name for f in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    if unknown := sorted(set(values) - fields):
        raise UserError(f"config.json has fields that {cls.__name__} does not know: {', '.join(unknown)}")
    return cls(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint, value):
    if isinstance(value, Model):
        return value
    if isinstance(value, dict) and (choices := _choices(hint)):
        kind = value.get("type")
        if kind not in choices:
            raise UserError(f"config.json names the type '{kind}': there are {', '.join(choices)}")
        return _build(choices[kind], {k: v for k, v in value.items() if k != "type"})
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value)
    if typing.get_origin(hint) is dict:
        return {k: _value(typing.get_args(hint)[1], v) for k, v in value.items()}
    return _tuples(value)


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
