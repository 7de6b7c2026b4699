"""Many samples for other evaluators: one .npz file in the layout of ADM's, or a folder of PNG files."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from genjax.errors import UsageError, UserError
from genjax.files import write_atomic, writing
from genjax.pixels import to_bytes
from genjax.runs.grids import png
from genjax.spec import Field, Image

__all__ = ["save_archive", "save_pictures"]

Arrays = Mapping[str, np.ndarray]
PIXELS, LABELS = "arr_0", "arr_1"


def save_archive(path: Path, parts: Iterable[tuple[Arrays, Arrays]], fields: Mapping[str, Field], count: int) -> Path:
    """Writes all samples into one .npz file, with one part of them in memory at a time.

    It holds the arrays as `Model.sample` returned them. Where one of them is pictures, they are there once more as
    Dhariwal & Nichol 2021 have them for their evaluator: `arr_0` (N, H, W, C) uint8, and `arr_1` (N,) the labels that
    they were drawn for.

    Args:
      parts: samples, and the conditions that they were drawn for.
      count: samples of all parts.

    Raises UserError where the file cannot be written.
    """
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            for outputs, given in parts:
                for name, rows in _with_adm(outputs, given, fields).items():
                    _append(temporary / f"{name}.npy", np.ascontiguousarray(rows), count)
            whole = temporary / "whole"
            with zipfile.ZipFile(whole, "w", allowZip64=True) as archive:
                for file in sorted(temporary.glob("*.npy")):
                    archive.write(file, file.name)
            whole.replace(path)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return path


def save_pictures(folder: Path, parts: Iterable[tuple[Arrays, Arrays]], fields: Mapping[str, Field]) -> Path:
    """Writes each sample as FOLDER/NUMBER.png.

    Raises:
      UsageError: samples that are not pictures of one field. UserError: the folder holds something already, or cannot
        be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"'{folder}' is not empty: other evaluators would take all it holds; choose another --out")
    except OSError as error:
        raise UserError(f"'{folder}' cannot be read: {error.strerror}") from None
    number = 0
    for outputs, _ in parts:
        names = _pictures(outputs, fields)
        if len(names) != 1:
            raise UsageError(
                f"--out {folder}: a folder holds pictures of one field, and these samples have {len(names)}"
            )
        for image in to_bytes(outputs[names[0]]):
            write_atomic(folder / f"{number:06}.png", png(image[..., 0] if image.shape[-1] == 1 else image))
            number += 1
    return folder


def _with_adm(outputs: Arrays, given: Arrays, fields: Mapping[str, Field]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(rows) for name, rows in outputs.items()}
    if len(names := _pictures(outputs, fields)) == 1:
        arrays[PIXELS] = to_bytes(outputs[names[0]])
        if "label" in given:
            arrays[LABELS] = np.asarray(given["label"], np.int64)
    return arrays


def _pictures(outputs: Arrays, fields: Mapping[str, Field]) -> list[str]:
    return [name for name in outputs if isinstance(fields.get(name), Image)]


def _append(file: Path, rows: np.ndarray, count: int) -> None:
    """Adds rows to a .npy file that will have `count` of them."""
    new = not file.exists()
    with file.open("ab") as stream:
        if new:
            header = np.lib.format.header_data_from_array_1_0(rows) | {"shape": (count, *rows.shape[1:])}
            np.lib.format.write_array_header_1_0(stream, header)
        stream.write(rows.tobytes())
