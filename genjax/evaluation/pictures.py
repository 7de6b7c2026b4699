"""How close pictures are that somebody else has made: a folder or .npz against a data set."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import numpy as np

from genjax.data import Dataset, load, split_batches
from genjax.data.npz import opened
from genjax.errors import UsageError, UserError
from genjax.evaluation.comparison import Comparison
from genjax.evaluation.extractors import extractor_for
from genjax.evaluation.measure import values_of
from genjax.experiment import Data
from genjax.metrics import METRICS, Metric, check_extractor, check_names, compared_fields
from genjax.runtime import compilation
from genjax.spec import DataSpec, Image

__all__ = ["measure_pictures"]

BATCH = 64
ADM, LABELS = "arr_0", "arr_1"  # the pictures and classes in a .npz file as Dhariwal & Nichol 2021 write it
GIVEN = "given"  # the extractor of features that are in the files already


def measure_pictures(
    made: str, data: Data, metrics: Iterable[str], *, features: str | None = None, split: str | None = None
) -> dict[str, float]:
    """Metric -> value, of the pictures `made` against all that `data` names, or one split of it.

    Two .npz files that hold an array `features` (N, D), and perhaps `logits` (N, K), are compared by these.

    Raises:
      UsageError: no metric, one that pictures alone do not have, or features that fit none.
      UserError: pictures that cannot be read, or that differ in size from the data's.
    """
    metrics = list(dict.fromkeys(metrics))
    check_names(metrics)
    if not metrics:
        raise UsageError(f"choose --metrics for these pictures: {', '.join(_of_pictures())}")
    if odd := [name for name in metrics if name not in _of_pictures()]:
        raise UsageError(f"{odd[0]} does not measure pictures alone: take {', '.join(_of_pictures())}")
    if data.path and (sets := [_features(place) for place in (data.path, made)]) and all(sets):
        return _measure_features(*sets, metrics, features)
    real = load(data)
    kinds = {"image": _image(real, data.path or data.source)}
    shown = dataclasses.replace(data, path=made, source="", fields=_adm(made), channels=kinds["image"].channels)
    drawn = load(shown)
    if (image := _image(drawn, made)) != kinds["image"]:
        raise UserError(
            f"{made} has {image.describe()}, and the data {kinds['image'].describe()}: bring both to one size by "
            "--data.image-size"
        )
    for name in metrics:
        if METRICS[name].labelled and not all("label" in data.spec.fields for data in (real, drawn)):
            raise UsageError(
                f"{name} compares class by class, and needs a `label` of both sets ({LABELS} in a .npz file)"
            )
    jit = functools.partial(jax.jit, compiler_options=compilation.options(jax.default_backend()))
    extractor = extractor_for(metrics, features, data, kinds, jit)
    seen_by = extractor.name if extractor else ""
    comparison = Comparison([METRICS[name]("image", image, None, seen_by) for name in metrics], extractor)
    for examples in ("held out", "train"):  # whichever the metric asks for
        comparison.observe(lambda: _batches(real, split), examples)
    for batch in _batches(drawn, None):
        comparison.update(batch)
    return values_of(comparison.metrics, kinds)


def _of_pictures() -> list[str]:
    return [name for name, metric in METRICS.items() if metric.needs is Image and not metric.paired]


def _image(dataset: Dataset, place: str) -> Image:
    compared_fields("fd", {"image": Image(1, 1, 1)}, dataset.spec)  # says what is there instead
    return dataset.spec.fields["image"]


def _batches(dataset: Dataset, split: str | None) -> Iterator[dict[str, np.ndarray]]:
    for name in dataset.splits if split is None else (split,):
        for batch in split_batches(dataset, name, BATCH):
            if (valid := batch["valid"]).any():
                yield {key: batch[key][valid] for key in ("image", "label") if key in batch}


def _adm(made: str) -> tuple[str, ...]:
    names = _names(made) if Path(made).suffix == ".npz" else []
    if ADM in names:
        return (f"image={ADM}", *(f"label={LABELS}" for name in names if name == LABELS))
    return tuple(f"{name}={name}" for name in ("image", "label") if name in names)


def _names(file: str) -> list[str]:
    if not os.path.isfile(file):  # `load` says so
        return []
    with opened(Path(file)) as archive:
        return archive.files


def _features(place: str) -> dict[str, np.ndarray] | None:
    """The arrays `features` and `logits` of a .npz file; None where it has no features."""
    if Path(place).suffix != ".npz" or not os.path.isfile(place):  # `load` says so
        return None
    with opened(Path(place)) as archive:
        if "features" not in archive.files:
            return None
        arrays = {f"image_{name}": archive[name] for name in ("features", "logits") if name in archive.files}
    for name, array in arrays.items():
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise UserError(f"{place}: {name.removeprefix('image_')} must be numbers (N, D), not {array.shape}")
    return arrays


def _measure_features(real: dict, made: dict, metrics: list[str], features: str | None) -> dict[str, float]:
    if features is not None:
        raise UsageError("--features: these files hold features, which no extractor looks at: leave it out")
    if real["image_features"].shape[1] != made["image_features"].shape[1]:
        widths = [part["image_features"].shape[1] for part in (made, real)]
        raise UserError(f"the samples have {widths[0]} features each, and the references {widths[1]}")
    check_extractor(metrics, GIVEN, int("image_logits" in real and "image_logits" in made))
    if odd := [name for name in metrics if not METRICS[name].over_features]:
        raise UsageError(f"{odd[0]} compares pictures, and these files hold features")
    compared: list[Metric] = [METRICS[name]("image", Image(1, 1, 1), None, GIVEN) for name in metrics]
    for metric in compared:
        metric.observe(real)
        metric.update(made)
    return values_of(compared, DataSpec({"image": Image(1, 1, 1)}).fields)
