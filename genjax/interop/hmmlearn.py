"""hmmlearn's parameters as those of `HMM`, and back: arrays by their names there, in a .npz or .json file."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genjax.errors import UserError

__all__ = ["from_hmmlearn", "read_arrays", "to_hmmlearn", "write_arrays"]

Tree = dict[str, dict | np.ndarray]
CHAIN = ("startprob_", "transmat_")
EMISSIONS = ("emissionprob_", "lambdas_", "means_")  # of CategoricalHMM, PoissonHMM, GaussianHMM and GMMHMM


def from_hmmlearn(arrays: Mapping[str, np.ndarray]) -> Tree:
    """The params {"hmm": ...} of an HMM of one chain, in the arrays' own precision.

    Args:
      arrays: startprob_ (K,), transmat_ (K, K), and one of
        emissionprob_ (K, V): CategoricalEmission;
        lambdas_ (K, D): PoissonEmission;
        means_ and covars_ (K, D) or (K, D, D): GaussianEmission. A GaussianHMM of diagonal covariance shows its
          covars_ as (K, D, D), which is understood: where all of them are diagonal they are read so;
        weights_ (K, M), means_ (K, M, D), covars_ (K, M, D) or (K, M, D, D): MixtureEmission of these.

    Raises:
      UserError: an array is missing, of another shape, or not of probabilities.
    """
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    kind = next((name for name in EMISSIONS if name in arrays), None)
    if lacking := [name for name in CHAIN if name not in arrays] or ([] if kind else [" or ".join(EMISSIONS)]):
        raise UserError(f"hmmlearn's parameters lack {lacking[0]}; they have {', '.join(arrays) or 'nothing'}")
    states = len(arrays["startprob_"])
    for name in (*CHAIN, kind, *(("covars_",) if kind == "means_" else ())):
        if name not in arrays or arrays[name].shape[:1] != (states,):
            raise UserError(f"hmmlearn's parameters: {name} is not there with a row for each of the {states} states")
    chain = {"start": _log(arrays, "startprob_"), "move": _log(arrays, "transmat_")}
    if kind == "emissionprob_":
        emission = {"logits": _log(arrays, kind)}
    elif kind == "lambdas_":
        if (arrays[kind] <= 0).any():
            raise UserError("hmmlearn's parameters: lambdas_ must be above zero")
        emission = {"log_rate": np.log(arrays[kind])}
    else:
        emission = _gaussian(arrays["means_"], arrays["covars_"])
        if "weights_" in arrays:
            emission = {"logits": _log(arrays, "weights_"), "component": emission}
    return {"hmm": _restarts(chain | {"emission": emission})}


def to_hmmlearn(params: Tree, chain: int = 0) -> dict[str, np.ndarray]:
    """hmmlearn's arrays of one of the chains of an HMM's params: set them as attributes of the model there."""
    hmm = _chain(params["hmm"], chain)
    emission = hmm["emission"]
    arrays = {"startprob_": _softmax(hmm["start"]), "transmat_": _softmax(hmm["move"])}
    if "log_rate" in emission:
        return arrays | {"lambdas_": np.exp(emission["log_rate"])}
    if "component" in emission:
        arrays, emission = arrays | {"weights_": _softmax(emission["logits"])}, emission["component"]
    if "logits" in emission:
        return arrays | {"emissionprob_": _softmax(emission["logits"])}
    if "mean" not in emission:
        raise UserError(f"hmmlearn has no model of emissions with {', '.join(emission)}")
    variance = np.exp(2 * emission["log_scale"])
    if "lower" in emission:
        factor = np.tril(emission["lower"], -1) + np.eye(variance.shape[-1], dtype=variance.dtype)
        variance = np.einsum("...ij,...j,...kj->...ik", factor, variance, factor)
    return arrays | {"means_": emission["mean"], "covars_": variance}


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz or .json file, by name. Raises UserError where it is neither; nothing is unpickled."""
    try:
        if file.suffix == ".json":
            return {name: np.asarray(value, np.float64) for name, value in json.loads(file.read_text("utf-8")).items()}
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: not a .npz or .json file of hmmlearn's parameters ({error})") from None


def write_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    """Writes them as .json or .npz, as the suffix says."""
    if file.suffix == ".json":
        file.write_text(json.dumps({name: np.asarray(value).tolist() for name, value in arrays.items()}), "utf-8")
    else:
        np.savez(file, **arrays)


def _gaussian(mean: np.ndarray, covariance: np.ndarray) -> Tree:
    dims = mean.shape[-1]
    diagonal = np.diagonal(covariance, axis1=-2, axis2=-1) if covariance.ndim == mean.ndim + 1 else covariance
    if diagonal.shape != mean.shape:
        raise UserError(
            f"hmmlearn's parameters: covars_ of shape {covariance.shape} do not go with means_ {mean.shape}"
        )
    off = covariance * (1 - np.eye(dims)) if covariance.ndim == mean.ndim + 1 else np.zeros(1)
    try:
        root = np.sqrt(diagonal) if not off.any() else np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        root = np.full(1, np.nan)
    if not np.isfinite(root).all() or (diagonal <= 0).any():
        raise UserError("hmmlearn's parameters: covars_ must be positive definite")
    if not off.any():
        return {"mean": mean, "log_scale": np.log(root)}
    scale = np.diagonal(root, axis1=-2, axis2=-1)
    return {"mean": mean, "log_scale": np.log(scale), "lower": np.tril(root / scale[..., None, :], -1)}


def _log(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    value = arrays[name]
    if (value < 0).any() or not np.allclose(value.sum(-1), 1, atol=1e-4):
        raise UserError(f"hmmlearn's parameters: the rows of {name} must be probabilities")
    with np.errstate(divide="ignore"):
        return np.log(value)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    return weight / weight.sum(-1, keepdims=True)


def _restarts(tree: Tree) -> Tree:
    return {name: _restarts(x) if isinstance(x, dict) else x[None] for name, x in tree.items()}


def _chain(tree: Tree, chain: int) -> Tree:
    return {name: _chain(x, chain) if isinstance(x, dict) else np.asarray(x)[chain] for name, x in tree.items()}
