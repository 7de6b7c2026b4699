"""The two forms of pixels: 8 bits in files, and float32 in [-1, 1] where they are computed with."""

import numpy as np

__all__ = ["to_bytes", "to_float"]


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [-1, 1]; floats are there already."""
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1) if image.dtype == np.uint8 else image


def to_bytes(image: np.ndarray) -> np.ndarray:
    """[-1, 1] to uint8, rounded to the nearest. Values beyond are clipped, and NaN is grey."""
    x = np.nan_to_num(np.asarray(image, np.float32), nan=0.0)
    return np.round((np.clip(x, -1, 1) + 1) * 127.5).astype(np.uint8)
