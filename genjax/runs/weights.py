"""Weights alone, as safetensors: `entry/module/.../name` for parameters, `state:entry/.../name` for model state."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np

import genjax
from genjax.data import Tokenizer
from genjax.engine.state import TrainState, averaged
from genjax.errors import UserError
from genjax.files import require_file
from genjax.models.base import Model, Params, Tree
from genjax.runs import checksums

__all__ = ["STATE", "WEIGHTS", "export_weights", "load_safetensors", "metadata", "write_arrays"]

WEIGHTS = "weights.safetensors"
STATE = "state:"  # files of genjax 0.1 have parameters only


def export_weights(model: Model, state: TrainState, file: Path, tokenizer: Tokenizer | None = None) -> Path:
    """Writes what `averaged` gives, the weights that are sampled and evaluated, merged; `load_safetensors` reads them.

    The file's metadata say which system, step and version of genjax they are of, and the tokenizer's fingerprint.

    Raises:
      UserError: the file cannot be written; one that was there stays.
    """
    model, params, model_state = model.merged(*averaged(state))
    arrays = _flat(params) | {STATE + name: x for name, x in _flat(model_state).items()}
    about = {"system": type(model).__name__, "step": str(int(state.step)), "genjax": genjax.__version__}
    return write_arrays(arrays, file, about | ({"tokenizer": tokenizer.fingerprint} if tokenizer else {}))


def write_arrays(arrays: Mapping[str, np.ndarray], file: Path, metadata: Mapping[str, str] = {}) -> Path:
    """Writes named arrays with their checksums as safetensors, atomically. Raises UserError as `export_weights`."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.asarray(x, order="C") for name, x in arrays.items()}
        temporary.touch()
        mode = temporary.stat().st_mode  # of the user's other files; the library's are for the user alone
        save_file(arrays, temporary, metadata={**metadata, **checksums.of_arrays(arrays)})
        temporary.chmod(mode)
        os.replace(temporary, file)
    except (OSError, SafetensorError) as error:  # the latter wraps the errors of the disk, and is no OSError
        raise UserError(f"cannot write to '{file}': {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return file


def load_safetensors(file: Path) -> tuple[Params, Tree]:
    """(params, model state) of a file that `export_weights` wrote, or genjax 0.1 without state.

    Raises:
      UserError: the file is missing, not of that kind, or damaged since it was written.
    """
    from safetensors import SafetensorError, safe_open

    require_file(file)
    try:
        with safe_open(file, framework="numpy") as opened:
            flat = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            checksums.require_unchanged(opened.metadata(), flat, file)
        state = {name.removeprefix(STATE): flat.pop(name) for name in list(flat) if name.startswith(STATE)}
        return tuple(flax.traverse_util.unflatten_dict(part, sep="/") for part in (flat, state))
    except (OSError, SafetensorError, TypeError, AttributeError) as error:  # the latter two: a name inside another
        raise UserError(f"cannot read weights from '{file}': {error}") from error


def metadata(file: Path) -> dict[str, str]:
    """What a file of safetensors says of itself. Raises UserError as `load_safetensors`."""
    from safetensors import SafetensorError, safe_open

    require_file(file)
    try:
        with safe_open(file, framework="numpy") as opened:
            return opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read weights from '{file}': {error}") from error


def _flat(tree: Tree) -> dict[str, np.ndarray]:
    return flax.traverse_util.flatten_dict(jax.device_get(tree), sep="/")
