"""Weights of extractors: read from a user's file, and fitted to a network or refused."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import numpy as np

from genjax.errors import UsageError, UserError
from genjax.files import require_file

__all__ = ["as_in_pytorch", "digest", "fitted", "read_arrays"]

Tree = Any
PYTORCH = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The named arrays of a .safetensors, .npz, or PyTorch file; code inside a file never runs.

    Raises:
      UserError: the file is missing or broken, or PyTorch, which its kind needs, is not installed.
      UsageError: another kind of file.
    """
    require_file(file)
    try:
        if file.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(file)
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return dict(archive)
        if file.suffix in (".pth", ".pt"):
            import torch

            return {name: x.numpy() for name, x in torch.load(file, map_location="cpu", weights_only=True).items()}
    except ImportError:
        raise UserError(f"{file} is PyTorch's: install torch, or store its arrays as .safetensors") from None
    except Exception as error:  # each library has errors of its own for a broken file
        raise UserError(f"cannot read weights from {file}: {error}") from None
    raise UsageError(f"{file}: weights are read from .safetensors, .npz, .pth and .pt")


def fitted(shapes: Tree, arrays: Mapping[str, np.ndarray], file: Path, network: str) -> Tree:
    """The parameters of a network from arrays by their names, parts joined with "/"; further arrays are left out.

    Args:
      shapes: the parameters, as `jax.eval_shape` has them.

    Raises:
      UserError: an array is missing or of another shape: the file is of another network.
    """
    params = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items():
        name = "/".join(path)
        if name not in arrays or arrays[name].shape != leaf.shape:
            has = f"is {arrays[name].shape}" if name in arrays else "is not there"
            raise UserError(f"{file} holds no weights of {network}: its {name}, of shape {leaf.shape}, {has}")
        params[path] = np.asarray(arrays[name], np.float32)
    return flax.traverse_util.unflatten_dict(params)


def as_in_pytorch(shapes: Tree, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a PyTorch state dict under Flax's names, in Flax's layout: those that have a place in `shapes`."""
    named = {}
    for path in flax.traverse_util.flatten_dict(shapes):
        array = arrays.get(".".join((*path[:-1], PYTORCH[path[-1]])))
        if array is not None:
            named["/".join(path)] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    return named


def digest(params: Tree) -> str:
    """Of names, shapes and values."""
    total = hashlib.sha256()
    for path, array in sorted(flax.traverse_util.flatten_dict(params).items()):
        total.update(f"{'/'.join(path)}{array.shape}".encode())
        total.update(np.ascontiguousarray(array, np.float32))
    return total.hexdigest()
