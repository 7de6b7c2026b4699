"""Samples as files: a grid of images, or a text."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from genjax.errors import UsageError, UserError
from genjax.runs.log import write_atomic

GAP, WIDTH = 2, 400  # pixels: between images, and the least width of a grid
STRIPS = 8  # samples shown with their trajectory


def save_samples(path_without_suffix: Path, outputs: dict[str, np.ndarray], tokenizer=None) -> Path:
    """Writes {"image"} as PATH.png or {"tokens", "length"} as PATH.txt, and returns that path."""
    suffix = ".png" if "image" in outputs else ".txt"
    return save_outputs(Path(f"{path_without_suffix}{suffix}"), outputs, tokenizer)


def save_outputs(path: Path, outputs: dict[str, np.ndarray], tokenizer=None) -> Path:
    """Writes what `Model.sample` returned in the format of the suffix: .png, .txt, or .npz (the raw arrays).

    Beside NAME.png stands NAME-trajectory.png, a row for each of the first samples, where there is a trajectory.

    Raises UsageError for a suffix that does not fit the samples, UserError where the file cannot be written.
    """
    path, buffer = Path(path), io.BytesIO()
    fitting = [".png"] * ("image" in outputs) + [".txt"] * ("tokens" in outputs) + [".npz"]
    if path.suffix not in fitting:
        raise UsageError(f"{path} cannot hold these samples: choose a name that ends in {' or '.join(fitting)}")
    if path.suffix == ".png":
        if (frames_NKHWC := outputs.get("trajectory")) is not None:
            columns, frames = frames_NKHWC.shape[1], np.concatenate(frames_NKHWC[:STRIPS])
            write_atomic(path.with_name(f"{path.stem}-trajectory.png"), _png(image_grid(frames, columns)))
        columns = outputs.get("columns")
        buffer.write(_png(image_grid(outputs["image"], None if columns is None else int(columns[0]))))
    elif path.suffix == ".txt":
        buffer.write(text_sheet(outputs["tokens"], outputs.get("length"), tokenizer).encode(errors="replace"))
    else:
        np.savez(buffer, **{name: np.asarray(value) for name, value in outputs.items()})
    return write_atomic(path, buffer.getvalue())


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """(N, H, W, C) in [-1, 1] -> one uint8 grid, nearly square by default, (rows, columns[, 3]) pixels.

    Small images are enlarged by a whole factor, without smoothing. Values are clipped; NaN is drawn grey.
    """
    x_NHWC = np.nan_to_num(np.asarray(images, np.float32))
    if x_NHWC.ndim != 4 or x_NHWC.shape[-1] not in (1, 3) or len(x_NHWC) == 0:
        raise UserError(f"samples of shape {x_NHWC.shape} are no pictures: expected (N, H, W, 1 or 3), N at least 1")
    x_NHWC = np.round((np.clip(x_NHWC, -1, 1) + 1) * 127.5).astype(np.uint8)
    columns = columns or math.ceil(math.sqrt(len(x_NHWC) * x_NHWC.shape[1] / x_NHWC.shape[2]))
    columns = min(columns, len(x_NHWC))
    rows = math.ceil(len(x_NHWC) / columns)
    factor = math.ceil(WIDTH / (columns * x_NHWC.shape[2]))
    x_NHWC = x_NHWC.repeat(factor, axis=1).repeat(factor, axis=2)
    missing = rows * columns - len(x_NHWC)
    x_NHWC = np.pad(x_NHWC, ((0, missing), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    x_RKHWC = x_NHWC.reshape(rows, columns, *x_NHWC.shape[1:])
    grid = np.concatenate(np.concatenate(x_RKHWC, axis=1), axis=1)[:-GAP, :-GAP]
    return grid[..., 0] if grid.shape[-1] == 1 else grid


def text_sheet(tokens: np.ndarray, length: np.ndarray | None, tokenizer) -> str:
    """(N, T) ids, the first length (N,) count -> texts under numbered rules; ids without a tokenizer."""
    tokens = np.asarray(tokens)
    lengths = [tokens.shape[1]] * len(tokens) if length is None else np.asarray(length)
    decode = tokenizer.decode if tokenizer is not None else lambda ids: " ".join(map(str, ids))
    texts = [decode(ids[:n].tolist()) for ids, n in zip(tokens, lengths)]
    return "".join(f"{f'──── {i} of {len(texts)} ':─<40}\n{text}\n" for i, text in enumerate(texts, 1))
