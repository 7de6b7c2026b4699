"""Averages of any width after training, out of stored ones (Karras et al. 2023, arXiv:2312.02696, section 3.2).

Every checkpoint stores the run's power averages (engine/averages.py) as RUN/ema/<step>-<sigma_rel>.safetensors: the
arrays of `params/...` and `state/...` in float32, kept when checkpoints are thinned out. A linear combination of them
approximates the average that another sigma_rel would have given: the more snapshots, the better.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.engine.averages import Average, sharpness
from genjax.errors import UserError
from genjax.files import require_file
from genjax.runs import checksums
from genjax.runs.weights import write_arrays

__all__ = ["FOLDER", "Snapshot", "coefficients", "discard_after", "inner_product", "reconstruct", "save", "snapshots"]

FOLDER = "ema"
POOR = 0.1  # relative error of a profile that is worth a warning


class Snapshot(NamedTuple):
    """A stored power average."""

    step: int
    sigma_rel: float
    file: Path


def save(run: Path, step: int, power: dict[str, Average]) -> None:
    """Writes the power averages of a step. Every process calls it; the first one writes, an array at a time gathered.

    Raises UserError where the disk is full or read-only.
    """
    for name, average in power.items():
        arrays = {key: _gather(x) for key, x in _named(average).items()}
        if jax.process_index() == 0:
            (run / FOLDER).mkdir(exist_ok=True)
            write_arrays(arrays, run / FOLDER / f"{step}-{name}.safetensors")


def snapshots(run: Path) -> list[Snapshot]:
    """Those of a run, oldest first."""
    found = []
    for file in (run / FOLDER).glob("*.safetensors"):
        if match := re.fullmatch(r"(\d+)-(\d+(?:\.\d+)?(?:e-\d+)?)", file.stem):
            found.append(Snapshot(int(match[1]), float(match[2]), file))
    return sorted(found)


def discard_after(run: Path, step: int) -> None:
    """Removes the snapshots newer than `step`, from which a run is resumed."""
    for snapshot in snapshots(run):
        if snapshot.step > step:
            snapshot.file.unlink()


def reconstruct(
    run: Path, step: int, sigma_rel: float, like: Average, warn: Callable[[str], None] = lambda text: None
) -> Average:
    """The power average of any `sigma_rel` after `step`, from the snapshots up to then, reading one file at a time.

    Args:
      step: one that has snapshots.
      like: names, shapes, dtypes and (optionally) shardings of the result.
      warn: told where the snapshots do not give the profile within 10%.

    Raises:
      UsageError: sigma_rel is not in (0, 0.2886].
      UserError: no snapshots of that step, or a file that cannot be read or is of another model.
    """
    gamma = sharpness(sigma_rel)
    used = [snapshot for snapshot in snapshots(run) if snapshot.step <= step]
    if not used or used[-1].step != step:
        steps = sorted({snapshot.step for snapshot in snapshots(run)})
        there = f"there are steps {', '.join(map(str, steps))}" if steps else "train with --train.ema-power 0.05 0.1"
        raise UserError(f"'{run}' has no power averages of step {step}: {there}")
    times = np.array([snapshot.step for snapshot in used]) / step
    gammas = np.array([sharpness(snapshot.sigma_rel) for snapshot in used])
    weights, error = coefficients(times, gammas, 1.0, gamma)
    if error > POOR:
        warn(
            f"the {len(used)} power averages of '{run}' up to step {step} miss the profile of sigma_rel {sigma_rel} "
            f"by {100 * error:.0f}%: more checkpoints, or another --train.ema-power, would be closer"
        )
    total = {}
    for weight, snapshot in zip(weights, used):
        _accumulate(total, np.float32(weight), snapshot.file, _named(like))
    named = {name: _place(total[name], x) for name, x in _named(like).items()}
    return jax.tree.unflatten(jax.tree.structure(like), [named[name] for name in _named(like)])


def inner_product(t_a: np.ndarray, gamma_a: np.ndarray, t_b: np.ndarray, gamma_b: np.ndarray) -> np.ndarray:
    """Integral of the product of the profiles (gamma + 1) s^gamma / t^(gamma + 1), 0 < s < t (appendix C.2)."""
    shorter = np.minimum(t_a, t_b)
    scale = (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1)
    return scale * (shorter / t_a) ** gamma_a * (shorter / t_b) ** gamma_b * shorter / (t_a * t_b)


def coefficients(times: np.ndarray, gammas: np.ndarray, time: float, gamma: float) -> tuple[np.ndarray, float]:
    """The combination of profiles that is nearest to another one in the least squares sense (algorithm 3).

    Unlike in the paper the coefficients sum to 1. Its networks normalize their weights, so that a scale is nothing to
    them; with two stored averages the free solution would make other networks' weights 4% too large.

    Args:
      times, gammas: (N,) of the stored profiles.
      time, gamma: of the one wanted.

    Returns:
      (N,) coefficients, and the norm of the profile's error over that of the profile.
    """
    products = inner_product(times[:, None], gammas[:, None], times, gammas)
    wanted = inner_product(times, gammas, time, gamma)
    scale = np.sqrt(np.diag(products))  # profiles of norm 1: better conditioned
    count = len(times)
    system = np.zeros((count + 1, count + 1))  # with a Lagrange multiplier for the sum
    system[:count, :count] = products / np.outer(scale, scale)
    system[:count, count] = system[count, :count] = 1 / scale
    solution = np.linalg.lstsq(system, np.append(wanted / scale, 1.0), rcond=None)[0][:count] / scale
    norm = inner_product(time, gamma, time, gamma)
    error = norm - 2 * solution @ wanted + solution @ products @ solution
    return solution, float(np.sqrt(max(error, 0.0) / norm))


def _accumulate(total: dict[str, np.ndarray], weight: np.float32, file: Path, like: dict) -> None:
    """total += weight * file; integers are those of the last file."""
    from safetensors import SafetensorError, safe_open

    try:
        require_file(file)
        with safe_open(file, framework="numpy") as arrays:
            for name, expected in like.items():
                x = arrays.get_tensor(name)
                checksums.require_unchanged(arrays.metadata(), {name: x}, file)
                if x.shape != expected.shape:
                    raise UserError(f"'{file}': {name} has shape {x.shape}, and {expected.shape} in the model")
                if jnp.issubdtype(x.dtype, jnp.floating):
                    x = weight * x + total.get(name, np.float32(0))
                total[name] = x
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the average '{file}': {error}") from error


def _named(average: Average) -> dict:
    """Name -> array, in the order of the leaves."""
    leaves = jax.tree_util.tree_leaves_with_path(average)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def _gather(x: jax.Array) -> np.ndarray:
    """The whole array on this host, floats as float32."""
    if not (x.is_fully_addressable or x.is_fully_replicated):
        from jax.experimental import multihost_utils

        x = multihost_utils.process_allgather(x, tiled=True)
    return np.asarray(x, np.float32 if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype)


def _place(x: np.ndarray, like) -> jax.Array:
    return jax.device_put(x.astype(like.dtype), getattr(like, "sharding", None))
