"""Latents in memory: images that a first stage has encoded once, so that latent diffusion need not do it each step.

The file, a .npz of plain arrays, holds for each split (`train`, `validation`)

    SPLIT_latent  (N, h, w, 2 Z)  float16: mean and log variance of each latent
    SPLIT_label   (N,)            int32, where the images have labels

and `latent_std` (), `image_shape` (3,) and, with labels, `class_names` (classes,). Float16 rounds a mean by at most
0.05%. The file is read whole, so the latents of a data set must fit into memory, for `encode` too.
"""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from genjax.data.dataset import Dataset
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import DataSpec

SPLITS = ("train", "validation")
PIXELS = {"image_size": None, "channels": None, "flip": False, "random_crop": False}  # fields of Data: no use here


@dataclasses.dataclass(frozen=True)
class LatentArray:
    """Moments of the latents of one split; nothing is augmented: a mirrored image has other latents."""

    latent_NHWC: np.ndarray
    label_N: np.ndarray | None
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.latent_NHWC)

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        batch = {"latent": self.latent_NHWC[ids_B].astype(np.float32)}
        return batch if self.label_N is None else batch | {"label": self.label_N[ids_B]}


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
    names = tuple(str(name) for name in archive.get("class_names", ()))
    labels = [_labels(archive, split, len(part), len(names), path) for split, part in zip(SPLITS, parts)]
    height, width, moments = parts[0].shape[1:]
    spec = DataSpec(
        image_shape=tuple(int(side) for side in shape),
        classes=len(names) or None,
        class_names=names,
        latent_shape=(height, width, moments // 2),
        latent_std=float(std),
        train_examples=len(parts[0]),
        validation_examples=len(parts[1]),
    )
    return Dataset(spec, *(LatentArray(part, label) for part, label in zip(parts, labels)))


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
    arrays |= {"latent_std": np.float64(latent_std), "image_shape": np.asarray(spec.image_shape, np.int32)}
    if spec.classes:
        arrays["class_names"] = np.asarray(spec.class_names or range(spec.classes), str)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:  # a file, as numpy adds .npz to a name
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}; check the folder and the free space") from None
    return path
