"""How far the pixels of a picture are from those of its true partner."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from genjax.metrics.base import Metric, Statistics
from genjax.pixels import to_bytes
from genjax.spec import Field, Image

__all__ = ["Pixels"]


class Pixels(Metric):
    """`pixel_l1`, the mean absolute difference of pixels, and `psnr`, the mean peak signal-to-noise ratio in dB.

    Both of values from 0 to 1, after rounding to 8 bits. Unpaired data has true partners where both domains stand in
    one order, as arrays of one file may.
    """

    values: ClassVar[Mapping[str, str]] = {
        "pixel_l1": "the mean absolute difference of pixels, of values from 0 to 1",
        "psnr": "-10 log10 of the mean squared difference of pixels, of values from 0 to 1, a mean over pictures",
    }
    higher: ClassVar[tuple[str, ...]] = ("psnr",)
    source: ClassVar[str] = "definitions of the field"
    needs: ClassVar[type[Field]] = Image
    paired: ClassVar[bool] = True

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        pixels = to_bytes(batch[self.name])
        statistics.setdefault(self.name, []).append(pixels)

    def result(self) -> dict[str, float]:
        both = [np.concatenate(each.get(self.name, [[]])) for each in (self.references, self.outputs)]
        if not len(both[0]):
            return {}
        apart = (both[0].astype(np.float32) - both[1]).reshape(len(both[0]), -1) / 255
        squares_N = np.maximum((apart**2).mean(1), 1e-10)  # equal pictures have 100 dB
        return {"pixel_l1": float(np.abs(apart).mean()), "psnr": float(-10 * np.log10(squares_N).mean())}
