"""Sources in memory: images, and arrays of anything else that has one row an example."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from genjax.data import transforms
from genjax.data.draws import Draws
from genjax.orders import Examples
from genjax.pixels import to_float

__all__ = ["ImageArray", "Table"]

TYPES = {"f": np.float32, "i": np.int32, "u": np.int32, "b": np.bool_}  # of a batch, by the kind of the array


@dataclasses.dataclass(frozen=True)
class ImageArray:
    """Images in memory, uint8 or float32 in [-1, 1], at least as big as they are shown: the field `name`."""

    name: str
    image_NHWC: np.ndarray
    view: transforms.View

    def __len__(self) -> int:
        return len(self.image_NHWC)

    @property
    def examples(self) -> Examples:
        return Examples(len(self))

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        view = self.view
        if view.size is None:
            image_BHWC = self.image_NHWC[ids_B]
        else:
            high, wide = (side - view.size for side in self.image_NHWC.shape[1:3])
            if draws is None or not view.random_crop:
                top_B, left_B = transforms.corner(high, None), transforms.corner(wide, None)
            else:
                top_B, left_B = (draws.uniform("crop", (2,)) * (high + 1, wide + 1)).astype(np.int64).T
            # every possible crop is a strided view of the images: a batch of crops is one gather
            crops = np.lib.stride_tricks.sliding_window_view(self.image_NHWC, (view.size,) * 2, axis=(1, 2))
            image_BHWC = crops[ids_B, top_B, left_B].transpose(0, 2, 3, 1)
        if view.flip and draws is not None:
            image_BHWC = transforms.mirror(image_BHWC, draws.uniform("flip"))
        return {self.name: np.ascontiguousarray(to_float(image_BHWC))}


@dataclasses.dataclass(frozen=True)
class Table:
    """Labels, numbers, masks, latents, rows of tokens: arrays (N, ...) by the name that a batch has them under."""

    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def examples(self) -> Examples:
        return Examples(len(self))

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        return {name: rows[ids_B].astype(TYPES[rows.dtype.kind], copy=False) for name, rows in self.arrays.items()}
