"""Images and tokens that are in memory: the embedded digits, and .npz files (those of latents: `latents.py`)."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np

from genjax.data import latents, transforms
from genjax.data.dataset import Dataset, hold_out
from genjax.data.text import TokenRows
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import DataSpec

NAMES = {
    "image": ("image", "images", "x"),
    "label": ("label", "labels", "y"),
    "tokens": ("tokens",),
}
SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid", "test")}
KINDS = "image (or images, x, x_train, train_image ...) or tokens; label, test_*, validation_* if there are"


@dataclasses.dataclass(frozen=True)
class ImageArray:
    """Images in memory, uint8 or float32 in [-1, 1], at least as big as they are shown."""

    image_NHWC: np.ndarray
    label_N: np.ndarray | None
    view: transforms.View
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.image_NHWC)

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        view = self.view
        if view.size is None:
            image_BHWC = self.image_NHWC[ids_B]
        else:
            high, wide = (side - view.size for side in self.image_NHWC.shape[1:3])
            if draws_B3 is None or not view.random_crop:
                top_B, left_B = transforms.corner(high, None), transforms.corner(wide, None)
            else:
                top_B, left_B = (draws_B3[:, 1:3] * (high + 1, wide + 1)).astype(np.int64).T
            # every possible crop is a strided view of the images: a batch of crops is one gather
            crops = np.lib.stride_tricks.sliding_window_view(self.image_NHWC, (view.size,) * 2, axis=(1, 2))
            image_BHWC = crops[ids_B, top_B, left_B].transpose(0, 2, 3, 1)
        if view.flip and draws_B3 is not None:
            image_BHWC = transforms.mirror(image_BHWC, draws_B3[:, 0])
        batch = {"image": np.ascontiguousarray(transforms.to_float(image_BHWC))}
        return batch if self.label_N is None else batch | {"label": self.label_N[ids_B]}


def digits(data: Data) -> Dataset:
    """Scikit-learn's embedded handwritten digits (UCI optical digits, its test set): 1797 grey images of 8x8.

    The pixels count 0..16 and become x / 8 - 1. The originals are ordered by writer and digit, so a fixed
    seeded shuffle comes before the split: 1,500 for training, 297 for validation, whatever --data.validation
    says.
    """
    from sklearn.datasets import load_digits  # seconds to import

    read = load_digits()
    image_NHWC = (read.images / 8 - 1).astype(np.float32)[..., None]
    train, validation = hold_out(len(image_NHWC), 297 / 1797, "digits")
    label_N = read.target.astype(np.int32)
    names = tuple(str(digit) for digit in range(10))
    return _dataset(data, [(image_NHWC[ids], label_N[ids]) for ids in (train, validation)], names)


def npz(data: Data, path: Path) -> Dataset:
    """A .npz file: images (N, H, W) or (N, H, W, C), with or without labels, or tokens (N, T + 1).

    Keys: `image`, `images` or `x`, `label`, `labels` or `y`, `tokens`; with `train`, and `validation`, `val`,
    `valid` or `test`, before or after them. Without a second split, --data.validation of the examples is held
    out. Images are uint8 (0 to 255; a whole file that never exceeds 1 is taken to be 0 and 1), bool, or
    floats: in [-1, 1] where any value is negative, in [0, 1] otherwise; in both splits alike. Raises UserError
    for everything else.
    A file made by `genjax encode` holds latents in the images' place: see `genjax.data.latents`.
    """
    archive = _open(path)
    if any("latent" in key for key in archive):
        return latents.dataset(data, archive, path)
    kind = "tokens" if _find(archive, "tokens", "train") is not None else "image"
    examples, held = (_find(archive, kind, split) for split in SPLITS)
    if examples is None:
        raise UserError(f"{path}: needs {KINDS}; it has {', '.join(list(archive)[:9]) or 'nothing'}")
    parts = [examples] if held is None else [examples, held]
    if kind == "tokens":
        return _tokens(data, parts, path)
    parts = _images(parts, path)
    labels = [_find(archive, "label", split) for split in SPLITS][: len(parts)]
    labels, names = _labels(labels, [len(part) for part in parts], path)
    if held is None:
        ids = hold_out(len(parts[0]), data.validation, str(path))
        parts = [parts[0][i] for i in ids]
        labels = [None if labels[0] is None else labels[0][i] for i in ids]
    return _dataset(data, list(zip(parts, labels)), names)


def _open(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive}
    except Exception as error:  # a broken file can fail anywhere inside zip, zlib or the header's parser
        raise UserError(f"{path}: not a readable .npz file of plain arrays ({error})") from error


def _find(archive: dict[str, np.ndarray], role: str, split: str) -> np.ndarray | None:
    keys = [k for s in SPLITS[split] for name in NAMES[role] for k in (f"{s}_{name}", f"{name}_{s}")]
    keys += NAMES[role] if split == "train" else ()
    return next((archive[key] for key in keys if key in archive), None)


def _images(parts: list[np.ndarray], path: Path) -> list[np.ndarray]:
    kinds = dict.fromkeys("float" if part.dtype.kind == "f" else str(part.dtype) for part in parts)
    if len(kinds) > 1:
        raise UserError(f"{path}: the splits hold images of different types, {' and '.join(kinds)}: give them one")
    parts = [part[..., None] if part.ndim == 3 else part for part in parts]
    for part in parts:
        if part.ndim != 4 or part.shape[3] not in (1, 3) or 0 in part.shape or part.shape[1:] != parts[0].shape[1:]:
            shapes = " and ".join(str(part.shape) for part in parts)
            raise UserError(f"{path}: images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), not {shapes}")
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    kind = parts[0].dtype
    if kind.kind == "b" or (kind == np.uint8 and high <= 1):
        return [part.astype(np.uint8) * np.uint8(255) for part in parts]
    if kind == np.uint8:
        return parts
    if kind.kind != "f" or not (low >= -1.001 and high <= 1.001):  # also refuses NaN
        raise UserError(
            f"{path}: images must be uint8, or floats in [0, 1] or [-1, 1]; these are {kind}, {low} to {high}"
        )
    return [(part if low < 0 else part * 2 - 1).astype(np.float32).clip(-1, 1) for part in parts]


def _labels(
    labels: list[np.ndarray | None], counts: list[int], path: Path
) -> tuple[list[np.ndarray | None], tuple[str, ...]]:
    if all(label is None for label in labels):
        return labels, ()
    for label, count in zip(labels, counts):
        if label is None or label.size != count:
            raise UserError(f"{path}: {count} images, but {'no' if label is None else label.size} labels for them")
    joined = np.concatenate([label.ravel() for label in labels])
    if joined.dtype.kind in "US":
        names, joined = np.unique(joined, return_inverse=True)
    elif joined.dtype.kind in "iub" and joined.min() >= 0:
        names = np.arange(int(joined.max()) + 1)
    else:
        raise UserError(f"{path}: labels must be names, or integers from 0 on, not {joined.dtype} from {joined.min()}")
    return np.split(joined.astype(np.int32), np.cumsum(counts)[:-1]), tuple(str(name) for name in names)


def _dataset(data: Data, parts: list[tuple[np.ndarray, np.ndarray | None]], names: tuple[str, ...]) -> Dataset:
    channels = data.channels or parts[0][0].shape[3]
    sources = []
    for image_NHWC, label_N in parts:
        image_NHWC = transforms.array_with_channels(image_NHWC, channels)
        if data.image_size is not None:
            image_NHWC = transforms.resize_array(image_NHWC, data.image_size)
        height, width = image_NHWC.shape[1:3]
        size = None if height == width else data.image_size  # nothing to crop from a square
        sources.append(ImageArray(image_NHWC, label_N, transforms.View(size, channels, data.flip, data.random_crop)))
    height, width = (size, size) if size else (height, width)
    spec = DataSpec(
        image_shape=(height, width, channels),
        classes=len(names) or None,
        class_names=names,
        train_examples=len(sources[0]),
        validation_examples=len(sources[1]),
    )
    return Dataset(spec, *sources)


def _tokens(data: Data, parts: list[np.ndarray], path: Path) -> Dataset:
    lengths = {part.shape[1:] for part in parts}
    bad = [p for p in parts if p.ndim != 2 or p.dtype.kind not in "iu" or p.shape[1] < 2 or not len(p) or p.min() < 0]
    if bad or len(lengths) > 1:
        raise UserError(f"{path}: tokens must be (N, T + 1) integers from 0 on, of one length in both splits")
    if len(parts) == 1:
        parts = [parts[0][ids] for ids in hold_out(len(parts[0]), data.validation, str(path))]
    train, validation = (TokenRows(part.astype(np.int32)) for part in parts)
    spec = DataSpec(
        vocabulary=int(max(part.max() for part in parts)) + 1,
        context=parts[0].shape[1] - 1,
        train_examples=len(train),
        validation_examples=len(validation),
    )
    return Dataset(spec, train, validation)
