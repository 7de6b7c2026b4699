"""Images that are decoded as they are needed: a folder of your own, or any other store of encoded images."""

import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from PIL import Image, ImageOps

from genjax.data import transforms
from genjax.data.dataset import Dataset, hold_out
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import DataSpec

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
HELD_OUT = ("validation", "val", "valid", "test")  # the first there is validates
SAMPLED = 64  # headers read where --data.image-size makes all sizes equal
LARGEST = 256  # the size chosen for images of different sizes


@dataclasses.dataclass(frozen=True)
class EncodedImages:
    """`read(i)` gives the i-th file, and its label or None; `name(i)` says where it comes from.

    An image that cannot be decoded is noted in `skipped` and replaced by the next one that can (its label
    with it), so that batches stay a function of (seed, step); with `strict` it is a UserError.
    """

    count: int
    read: Callable[[int], tuple[IO[bytes], int | None]]
    name: Callable[[int], str]
    view: transforms.View
    strict: bool
    skipped: dict[str, str]
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return self.count

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        draws = [None] * len(ids_B) if draws_B3 is None else draws_B3
        images, labels, used = zip(*(self._decode(int(i), draw) for i, draw in zip(ids_B, draws)))
        image_BHWC = np.stack(images)
        if self.view.flip and draws_B3 is not None:
            image_BHWC = transforms.mirror(image_BHWC, draws_B3[:, 0])
        batch = {"image": transforms.to_float(image_BHWC), "valid": np.array(used) == ids_B}
        return batch if labels[0] is None else batch | {"label": np.array(labels, np.int32)}

    def _decode(self, first: int, draw: np.ndarray | None) -> tuple[np.ndarray, int | None, int]:
        for i in (*range(first, self.count), *range(first)):
            name = self.name(i)
            if name in self.skipped:
                continue
            try:
                file, label = self.read(i)
                return transforms.decode(file, self.view, draw), label, i
            except Exception as error:  # Pillow's decoders raise many kinds on a damaged file
                if self.strict:
                    raise UserError(
                        f"{name}: unreadable image ({error}); remove it, or leave --data.strict off"
                    ) from error
                self.skipped.setdefault(name, str(error))
        raise UserError(f"none of {self.count} images can be read; the last was {name} ({self.skipped[name]})")


def folder(data: Data, path: Path) -> Dataset:
    """A folder of images: its sub-folders are the classes in sorted order, or the images have no labels.

    Sub-folders `train` and `validation` (or `val`, `valid`, `test`: the first there is) are the splits, where
    they exist; otherwise a seeded share of --data.validation is held out. jpg, png, webp, bmp and the first
    picture of gif files are read, those of a class at any depth; names that begin with a dot are ignored.

    Where sizes differ and --data.image-size is not set, it is the median of the shorter sides, rounded down to a
    multiple of 8, at most 256. Without --data.channels images are grey only if all are (of 64 spread over the
    folder, where --data.image-size is set).

    Raises UserError where there are no images, where images lie beside folders of images, or where the splits
    differ in classes.
    """
    subfolders = {sub.name: sub for sub in sorted(path.iterdir()) if sub.is_dir() and sub.name[0] != "."}
    held = next((name for name in HELD_OUT if name in subfolders), None)
    if "train" in subfolders and (held is not None or len(subfolders) == 1):
        train, names = _labelled(subfolders["train"])
        parts = [train]
        if held is not None:
            validation, others = _labelled(subfolders[held])
            if others != names:
                raise UserError(f"{path}: train and {held} have different classes: {_list(names)} and {_list(others)}")
            parts.append(validation)
    else:
        everything, names = _labelled(path)
        parts = [everything]
    if len(parts) == 1:
        parts = [[parts[0][i] for i in ids] for ids in hold_out(len(parts[0]), data.validation, str(path))]
    skipped: dict[str, str] = {}
    view, shape = _view(data, [str(file) for part in parts for file, _ in part], skipped, path)
    sources = [
        EncodedImages(
            count=len(part),
            read=lambda i, part=part: (io.BytesIO(part[i][0].read_bytes()), part[i][1]),
            name=lambda i, part=part: str(part[i][0]),
            view=view,
            strict=data.strict,
            skipped=skipped,
        )
        for part in parts
    ]
    return images_dataset(sources, shape, names, skipped)


def images_dataset(
    sources: list[EncodedImages], shape: tuple[int, int, int], names: tuple[str, ...], skipped: dict[str, str]
) -> Dataset:
    spec = DataSpec(
        image_shape=shape,
        classes=len(names) or None,
        class_names=names,
        train_examples=len(sources[0]),
        validation_examples=len(sources[1]),
    )
    return Dataset(spec, *sources, skipped=skipped)


def _labelled(path: Path) -> tuple[list[tuple[Path, int | None]], tuple[str, ...]]:
    """The images below `path` with their labels, and the names of the classes."""
    subfolders = [sub for sub in sorted(path.iterdir()) if sub.is_dir() and sub.name[0] != "."]
    classes = {sub.name: files for sub in subfolders if (files := _images(sub.rglob("*"), sub))}
    flat = _images(path.iterdir(), path)
    if flat and classes:
        raise UserError(f"{path}: has images beside its folders {_list(tuple(classes))}; move them into a class")
    if not flat and not classes:
        raise UserError(f"{path}: no images here; {', '.join(suffix[1:] for suffix in SUFFIXES)} files are read")
    labelled = [(file, label) for label, files in enumerate(classes.values()) for file in files]
    return labelled or [(file, None) for file in flat], tuple(classes)


def _images(files: Iterable[Path], root: Path) -> list[Path]:
    visible = (file for file in files if not any(part[0] == "." for part in file.relative_to(root).parts))
    return sorted(file for file in visible if file.suffix.lower() in SUFFIXES and file.is_file())


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "none"


def _view(
    data: Data, files: list[str], skipped: dict[str, str], path: Path
) -> tuple[transforms.View, tuple[int, int, int]]:
    """How images are shown, and their shape; what the recipe leaves open is read from the files' headers."""

    def header(file: str) -> tuple[tuple[int, int], int] | None:
        try:
            with Image.open(file) as image:
                return transforms.oriented_size(image), transforms.natural_channels(image)
        except Exception as error:
            if data.strict:
                raise UserError(f"{file}: unreadable image ({error}); remove it, or leave --data.strict off") from error
            skipped.setdefault(file, str(error))
            return None

    # Every header, to see whether the sizes are equal; otherwise a few, spread over all classes.
    sampled = files if data.image_size is None else files[:: -(-len(files) // SAMPLED)]
    with ThreadPoolExecutor(max(1, data.workers)) as pool:
        found = list(filter(None, pool.map(header, sampled)))
    headers = found or list(filter(None, map(header, files)))
    if not headers:
        raise UserError(f"{path}: none of {len(files)} images can be read ({next(iter(skipped.values()))})")
    sizes, natural = zip(*headers)
    size, (width, height) = data.image_size, sizes[0]
    if size is None and len(set(sizes)) > 1:
        size = _common_size(sizes)
    if size is not None:
        width = height = size
    channels = data.channels or max(natural)
    return transforms.View(size, channels, data.flip, data.random_crop), (height, width, channels)


def _common_size(sizes: Sequence[tuple[int, int]]) -> int:
    """The side of a square for images of different sizes: few are enlarged much, and networks can halve it."""
    shorter = int(np.median([min(size) for size in sizes]))
    return min(shorter // 8 * 8 or shorter, LARGEST)


def read_image(path: str, shape: tuple[int, int, int], flag: str) -> np.ndarray:
    """An image file as (H, W, C) float32 in [-1, 1], scaled and cropped at the centre to `shape`.

    Raises UsageError, naming the `flag` it was given with, where it cannot be read.
    """
    height, width, channels = shape
    image = transforms.with_channels(_open(path, flag), channels)
    pixels = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC), np.uint8)
    return transforms.to_float(pixels.reshape(shape))


def read_mask(path: str, shape: tuple[int, int, int], image: str) -> np.ndarray:
    """A mask for the image file `image`: (H, W, 1) float32, 1 where it is white (at least half grey), else 0.

    Raises UsageError where it cannot be read, or has neither the size of the image file nor that of the model.
    """
    mask, size = _open(path, "--mask").convert("L"), _open(image, "--init").size
    if mask.size not in (size, shape[1::-1]):
        wide, high = mask.size
        raise UsageError(
            f"--mask '{path}' is {wide} x {high} pixels, --init '{image}' {size[0]} x {size[1]}: make the mask as large"
        )
    pixels = np.asarray(ImageOps.fit(mask, shape[1::-1], Image.Resampling.NEAREST))
    return (pixels >= 128).astype(np.float32)[..., None]


def _open(path: str, flag: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises errors of many kinds for a broken file
        raise UsageError(f"{flag}: cannot read the image '{path}': {error}") from None
