"""Pictures of a folder through a system that turns pictures into others, one by one, each in its own size."""

import dataclasses
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from genjax.data import transforms
from genjax.data.images import SUFFIXES
from genjax.errors import UsageError, UserError, visible
from genjax.files import expanded, require_file, write_atomic
from genjax.models.gan.directions import PictureOptions
from genjax.pixels import to_bytes, to_float
from genjax.runs.restore import OpenRun
from genjax.spec import DataSpec

__all__ = ["turned"]


def turned(opened: OpenRun, options: PictureOptions, out: Path, seed: int) -> Iterator[Path]:
    """Makes the picture `options.path`, or all in that folder, and writes each into the folder `out` by its own name.

    A model of this kind reads one field of pictures and makes one other, whose name is not that of the first. A file
    that is no picture is named on stderr and left out. Each size of pictures compiles once.

    Raises:
      UsageError: a direction that the model has not; `out` is where the pictures are.
      UserError: no picture, none that can be read, or a folder that cannot be written.
    """
    engine, model, options = opened.engine, opened.engine.model, opened.engine.model.check(options)
    place, options = expanded(options.path), dataclasses.replace(options, path=None)
    files, read = _pictures(place), model.needs(options)[0]
    made = next(name for name in model.outputs(engine.spec) if name != read)
    if out.absolute().resolve() == files[0].parent.absolute().resolve():
        raise UsageError(f"--out {out}: the pictures of --path are there, and would be overwritten")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: name a folder; each picture gets its own name in it")
    reason, written = "", 0
    for n, file in enumerate(files):
        try:
            require_file(file)
            pixels_HWC = transforms.decode(io.BytesIO(file.read_bytes()), _view(engine.spec, read), None)
        except Exception as error:  # Pillow's decoders raise many kinds on a damaged file
            reason = f"{file}: unreadable image ({error})"
            print(f"genjax: {visible(reason)}", file=sys.stderr)
            continue
        given = {"index": np.array([n], np.int32), read: to_float(pixels_HWC)[None]}
        try:
            picture_HWC = engine.sample(opened.state, given, seed, options)[made][0]
        except UsageError as error:
            raise UsageError(f"{file} has {pixels_HWC.shape[1]} x {pixels_HWC.shape[0]} pixels: {error}") from error
        yield write_atomic(out / file.name, _encoded(picture_HWC, file.suffix))
        written += 1
    if not written:
        raise UserError(f"--path {place}: none of {len(files)} pictures can be read; the last is {reason}")


def _pictures(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UserError(f"--path {place}: no such file or folder")
    files = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    if not files:
        raise UserError(f"--path {place}: no images here; {', '.join(s[1:] for s in SUFFIXES)} files are read")
    return files


def _view(spec: DataSpec, name: str) -> transforms.View:
    return transforms.View(None, spec.fields[name].channels)


def _encoded(picture_HWC: np.ndarray, suffix: str) -> bytes:
    """In the format of the suffix."""
    pixels = to_bytes(picture_HWC)
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix.lower()]
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, kind, quality=95)
    return buffer.getvalue()
