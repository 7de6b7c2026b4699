"""Latents in memory: images that a first stage has encoded once, so that latent diffusion need not do it each step.

The file, a .npz of plain arrays, holds for each split (`train`, `validation`)

    SPLIT_latent  (N, h, w, 2 Z)  float16: mean and log variance of each latent
    SPLIT_label   (N,)            int32, where the images have labels

and `latent_std` (), `image_shape` (3,) and, with labels, `class_names` (classes,). Float16 rounds a mean by at most
0.05%. Nothing is augmented: a mirrored image has other latents. The file is read whole, so the latents of a data set
must fit into memory, for `encode` too.
"""

from pathlib import Path

import numpy as np

from genjax.data.arrays import Table
from genjax.data.dataset import Dataset
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import atomic_file
from genjax.spec import DataSpec, Image, Label, Latent, require

__all__ = ["SPLITS", "dataset", "save"]

SPLITS = ("train", "validation")
PIXELS = {"image_size": None, "channels": None, "flip": False, "random_crop": False}  # fields of Data: no use here


def dataset(data: Data, archive: dict[str, np.ndarray], path: Path) -> Dataset:
    """The data set of a file that `save` wrote.

    Raises UsageError for options of images, UserError for arrays that are missing or do not fit together.
    """
    if used := [name for name, default in PIXELS.items() if getattr(data, name) != default]:
        raise UsageError(f"--data.{used[0].replace('_', '-')} changes images, and {path} holds latents of them")
    needed = (*(f"{split}_latent" for split in SPLITS), "latent_std", "image_shape")
    if missing := [key for key in needed if key not in archive]:
        raise UserError(f"{path}: a file of latents needs {', '.join(missing)} as well: make it with `genjax encode`")
    parts, std, shape = [archive[f"{split}_latent"] for split in SPLITS], archive["latent_std"], archive["image_shape"]
    for part in parts:
        fits = part.ndim == 4 and part.size and part.shape[3] % 2 == 0 and part.shape[1:] == parts[0].shape[1:]
        if not fits or part.dtype.kind != "f" or not np.isfinite(part).all():
            raise UserError(f"{path}: latents must be finite floats (N, h, w, 2 Z), not {part.dtype} {part.shape}")
    if std.shape != () or std.dtype.kind != "f" or not 0 < std < np.inf:
        raise UserError(f"{path}: latent_std must be one positive number, not {std}")
    if shape.shape != (3,) or shape.dtype.kind not in "iu" or shape.min() < 1:
        raise UserError(f"{path}: image_shape must be (H, W, C), not {shape}")
    names = archive.get("class_names", np.zeros(0, str))
    if names.ndim != 1:
        raise UserError(f"{path}: class_names must be one name for each class, not {names.shape}")
    names = tuple(str(name) for name in names)
    height, width, moments = parts[0].shape[1:]
    image = Image(*(int(side) for side in shape))
    fields = {"latent": Latent(height, width, moments // 2, float(std), image)}
    sources = []
    for split, part in zip(SPLITS, parts):
        label_N = _labels(archive, split, len(part), len(names), path)
        sources.append(Table({"latent": part} | ({} if label_N is None else {"label": label_N})))
    if names:
        fields["label"] = Label(len(names), names)
    used = {f"{split}_{name}" for split in SPLITS for name in ("latent", "label")} | {"latent_std", "image_shape"}
    unused = tuple(key for key in archive if key not in used and key != "class_names")
    return Dataset(DataSpec(fields, *map(len, sources)), *sources, unused=unused)


def _labels(archive: dict[str, np.ndarray], split: str, count: int, classes: int, path: Path) -> np.ndarray | None:
    label = archive.get(f"{split}_label")
    if not classes and label is None:
        return None
    fits = label is not None and label.shape == (count,) and label.dtype.kind in "iu"
    if not fits or label.min() < 0 or label.max() >= classes:
        raise UserError(f"{path}: {split}_label must be {count} integers below {classes}, the number of class_names")
    return label.astype(np.int32)


def save(path: Path, spec: DataSpec, splits: dict[str, dict[str, np.ndarray]], latent_std: float) -> Path:
    """Writes what `dataset` reads, whole or not at all. Raises UserError where it cannot be written.

    Args:
      spec: of the images that were encoded.
      splits: for each of SPLITS `latent` (N, h, w, 2 Z) and, if there are labels, `label` (N,).
    """
    arrays = {f"{split}_{name}": array for split, part in splits.items() for name, array in part.items()}
    image, label = require(spec, "image", Image, "a file of latents"), spec.fields.get("label")
    arrays |= {"latent_std": np.float64(latent_std), "image_shape": np.asarray(image.shape, np.int32)}
    if label is not None:
        arrays["class_names"] = np.asarray(label.names or range(label.classes), str)
    with atomic_file(path) as file:  # a file, as numpy adds .npz to a name; the whole in memory would be twice
        np.savez(file, **arrays)
    return path
