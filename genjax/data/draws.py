"""Random numbers by name: a function of (seed, step, row, stream), whatever else is drawn and whoever reads the row."""

import dataclasses
import zlib

import numpy as np

from genjax.orders import DRAWS, generator

__all__ = ["Draws"]


@dataclasses.dataclass(frozen=True)
class Draws:
    """The draws of some rows of a step's global batch. Streams are independent of one another."""

    seed: int
    step: int
    rows_B: np.ndarray  # their places in it
    path: str = ""

    def uniform(self, stream: str, shape: tuple[int, ...] = ()) -> np.ndarray:
        """(B, *shape) in [0, 1), one block a row. A stream asked for twice is the same numbers."""
        name = zlib.crc32(f"{self.path}{stream}".encode())
        random = generator(self.seed, DRAWS, self.step, name + 1)  # a last 0 would give the key of text windows
        return random.random((self.rows_B.max() + 1, *shape))[self.rows_B]

    def scope(self, name: str) -> "Draws":
        """Draws whose streams are independent of those of any other scope."""
        return dataclasses.replace(self, path=f"{self.path}{name}/")

    def of(self, rows_R: np.ndarray) -> "Draws":
        """The draws of some of these rows."""
        return dataclasses.replace(self, rows_B=self.rows_B[rows_R])
