"""What `genjax eval` leaves in a run directory: the numbers by name, and sheets of pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.files import read_json, write_atomic
from genjax.runs.grids import image_grid, png

__all__ = ["FOLDER", "NEAREST", "read_evaluation", "save_evaluation"]

FOLDER, RESULTS = "evaluation", "results.json"
NEAREST = "nearest"  # the beginning of the names of sheets
COLUMNS = 2


def save_evaluation(run: Path, rows: Mapping[str, Mapping[str, Any]], sheets: Mapping[str, np.ndarray]) -> list[Path]:
    """Adds numbers to those that were measured before; one of the same name is replaced.

    Args:
      rows: by the name of the number, what there is to say of it.
      sheets: by name, samples (S, 1 + K, H, W, C), each beside K training images.

    Returns:
      The files. Raises UserError where they cannot be written.
    """
    place = run / FOLDER / RESULTS
    files = [write_atomic(place, json.dumps(read_evaluation(run) | dict(rows), indent=2).encode())]
    for name, images_SKHWC in sheets.items():
        blank = np.ones_like(images_SKHWC[:, :1])  # sets a sample apart from its neighbours, and these from the next
        spaced = np.concatenate([images_SKHWC[:, :1], blank, images_SKHWC[:, 1:], blank], axis=1)
        file = run / FOLDER / f"{NEAREST}-{name.replace('/', '-')}.png"
        files.append(write_atomic(file, png(image_grid(spaced, COLUMNS))))
    return files


def read_evaluation(run: Path) -> dict[str, dict]:
    """The numbers by name; {} without any. Raises UserError for a damaged file."""
    place = run / FOLDER / RESULTS
    if not place.exists():
        return {}
    found = read_json(place)
    if not all(isinstance(row, dict) and isinstance(row.get("value"), int | float) for row in found.values()):
        raise UserError(f"{place} is damaged: delete it")
    return found
