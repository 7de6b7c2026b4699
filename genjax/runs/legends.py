"""What a sheet of samples shows, in one line under it: which picture is which, and the classes in their order."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genjax.spec import Field, Label

__all__ = ["TRAJECTORY", "legend", "under"]

FONT = 12  # pixels
MOST = 20  # classes that are named
TRAJECTORY = "left to right: how each came to be"


def legend(titles: Sequence[str], given: Mapping[str, np.ndarray], fields: Mapping[str, Field]) -> str:
    """The line for a sheet whose pictures of an example have these titles; "" where there is nothing to say.

    `given`: the conditions, whose labels are named where all are of one class, or of some in turn.
    """
    parts = [f"left to right: {', '.join(titles)}"] if len(titles) > 1 else []
    field = fields.get("label")
    if isinstance(field, Label) and len(label_N := np.asarray(given.get("label", ()))):
        again = np.flatnonzero(label_N[1:] == label_N[0])
        turn = label_N[: again[0] + 1] if len(again) else label_N
        if len(turn) <= MOST and np.array_equal(label_N, np.resize(turn, len(label_N))):
            names = [field.names[k] if field.names else str(k) for k in turn.tolist()]
            parts.append(f"classes, in turn: {', '.join(names)}" if len(names) > 1 else f"class: {names[0]}")
    return "; ".join(parts)


def under(grid: np.ndarray, words: str) -> np.ndarray:
    """The grid (H, W[, 3]) uint8 over a white strip that holds the words, as many of them as its width has room for."""
    if not words:
        return grid
    font = ImageFont.load_default(FONT)
    while font.getlength(words) > grid.shape[1] - 2 and len(words) > 1:
        words = f"{words[:-2]}…"
    strip = Image.new("L", (grid.shape[1], FONT + 6), 255)
    ImageDraw.Draw(strip).text((1, 2), words, fill=0, font=font)
    strip_HW = np.asarray(strip)
    return np.concatenate([grid, strip_HW if grid.ndim == 2 else np.repeat(strip_HW[..., None], 3, axis=-1)])
