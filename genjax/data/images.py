"""Images that are decoded as they are needed: files of a folder, or records of any other store."""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import transforms
from genjax.data.dataset import Source
from genjax.data.draws import Draws
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.orders import Examples
from genjax.pixels import to_float

__all__ = ["SUFFIXES", "EncodedImages", "Files", "choose_view", "encoded"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SAMPLED = 64  # headers read where --data.image-size makes all sizes equal
LARGEST = 256  # the size chosen for images of different sizes


@dataclasses.dataclass(frozen=True)
class Files:
    """A column of encoded images.

    Attributes:
      at: the i-th, a path or the encoded bytes.
      name: says where the i-th comes from.
      ids_N: those that the column holds.
    """

    at: Callable[[int], Path | bytes]
    name: Callable[[int], str]
    ids_N: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Files":
        return cls(lambda i: paths[i], lambda i: str(paths[i]), np.arange(len(paths)))

    def __len__(self) -> int:
        return len(self.ids_N)

    def __getitem__(self, rows: np.ndarray | slice) -> "Files":
        return dataclasses.replace(self, ids_N=self.ids_N[rows])


@dataclasses.dataclass(frozen=True)
class EncodedImages:
    """Examples with encoded images, each decoded when it is asked for.

    An example with an image that cannot be decoded is noted in `skipped` and replaced as a whole by the next one that
    can, so that batches stay a function of (seed, step); with `strict` it is a UserError.

    Attributes:
      read: the record of the i-th example: an image (a path or encoded bytes) for each of `views`, and perhaps numbers.
      name: says where the i-th example comes from.
      views: how the image of each field is shown.
      others: the fields that are in memory.
    """

    count: int
    read: Callable[[int], dict[str, Any]]
    name: Callable[[int], str]
    views: dict[str, transforms.View]
    strict: bool
    skipped: dict[str, str]
    others: Source | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def examples(self) -> Examples:
        return Examples(self.count) if self.others is None else self.others.examples

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        crops = any(view.random_crop for view in self.views.values())
        places = [None] * len(ids_B) if draws is None or not crops else draws.uniform("crop", (2,))
        records, used = zip(*(self._decode(int(i), place) for i, place in zip(ids_B, places)))
        batch = {}
        for name in records[0]:
            values = np.stack([record[name] for record in records])
            if name in self.views:
                if self.views[name].flip and draws is not None:
                    values = transforms.mirror(values, draws.uniform("flip"))
                batch[name] = to_float(values)
            else:
                batch[name] = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
        if self.others is not None:
            batch |= self.others.gather(np.array(used), draws, lengths)
        return batch | {"valid": np.array(used) == ids_B}

    def _decode(self, first: int, place: np.ndarray | None) -> tuple[dict[str, Any], int]:
        for i in (*range(first, self.count), *range(first)):
            name = self.name(i)
            if name in self.skipped:
                continue
            try:
                record = self.read(i)
                for field, view in self.views.items():
                    crop = place if view.random_crop else None
                    record[field] = transforms.decode(io.BytesIO(_content(record[field])), view, crop)
                return record, i
            except Exception as error:  # Pillow's decoders raise many kinds on a damaged file
                if self.strict:
                    raise UserError(
                        f"{name}: unreadable image ({error}); remove it, or leave --data.strict off"
                    ) from error
                self.skipped.setdefault(name, str(error))
        raise UserError(f"none of {self.count} images can be read; the last was {name} ({self.skipped[name]})")


def encoded(
    data: Data,
    files: dict[str, Files],
    views: dict[str, transforms.View],
    skipped: dict[str, str],
    others: Source | None = None,
) -> EncodedImages:
    """Examples with an image file for each field of `files`."""
    first = next(iter(files.values()))
    return EncodedImages(
        count=len(first),
        read=lambda i: {name: column.at(int(column.ids_N[i])) for name, column in files.items()},
        name=lambda i: first.name(int(first.ids_N[i])),
        views=views,
        strict=data.strict,
        skipped=skipped,
        others=others,
    )


def choose_view(
    data: Data, columns: Sequence[Files], skipped: dict[str, str], place: str
) -> tuple[transforms.View, tuple[int, int, int]]:
    """How images are shown, and their shape (H, W, C); what the recipe leaves open is read from the files' headers.

    Where sizes differ and --data.image-size is not set, it is the median of the shorter sides, rounded down to a
    multiple of 8, at most 256. Without --data.channels images are grey only if all are (of 64 spread over them, where
    --data.image-size is set).
    """

    def header(file: tuple[Files, int]) -> tuple[tuple[int, int], int] | None:
        column, i = file
        try:
            encoded = column.at(i)
            with transforms.opened(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as image:
                return transforms.oriented_size(image), transforms.natural_channels(image)
        except Exception as error:
            if data.strict:
                raise UserError(
                    f"{column.name(i)}: unreadable image ({error}); remove it, or leave --data.strict off"
                ) from error
            skipped.setdefault(column.name(i), str(error))
            return None

    files = [(column, int(i)) for column in columns for i in column.ids_N]
    # Every header, to see whether the sizes are equal; otherwise a few, spread over all classes.
    sampled = files if data.image_size is None else files[:: -(-len(files) // SAMPLED)]
    with ThreadPoolExecutor(max(1, data.workers)) as pool:
        found = list(filter(None, pool.map(header, sampled)))
    headers = found or list(filter(None, map(header, files)))
    if not headers:
        raise UserError(f"{place}: none of {len(files)} images can be read ({next(iter(skipped.values()))})")
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


def _content(encoded: Path | bytes) -> bytes:
    return encoded.read_bytes() if isinstance(encoded, Path) else encoded
