"""The number of major earthquakes (magnitude 7 or more) in the world, in each year from 1900 to 2006.

The counts are those of Zucchini, MacDonald & Langrock, "Hidden Markov Models for Time Series" (2nd ed. 2016),
table 1.1, after the catalogue of the United States Geological Survey.
"""

import numpy as np

from genjax.data import readers
from genjax.data.arrays import Table
from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer
from genjax.experiment import Data
from genjax.spec import DataSpec, Tokens

__all__ = ["COUNTS", "earthquakes"]

COUNTS = (
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14, 23, 18, 17, 19, 20, 22,
    19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27, 35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34,
    10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30, 27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6,
    11, 8, 7, 18, 16, 13, 12, 13, 20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
)  # fmt: skip


@readers.register("earthquakes")
def earthquakes(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """One sequence `counts` (107,), for training and for validation: likelihoods are those of the data fitted."""
    source = Table({"counts": np.array([COUNTS], np.int32)})
    return Dataset(DataSpec({"counts": Tokens((len(COUNTS),), max(COUNTS) + 1)}, 1, 1), source, source)
