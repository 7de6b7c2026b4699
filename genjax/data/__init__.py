"""Where examples come from, and how they become batches.

`load` turns the `Data` section of a recipe into a `Dataset`; `train_batches` and `validation_batches` read
it. A batch is a pure function of (seed, step). `build_corpus` prepares text that is too big for memory.
"""

from genjax.data.corpus import build_corpus
from genjax.data.dataset import Dataset, Source, require_unchanged
from genjax.data.pipeline import train_batches, validation_batches
from genjax.data.sources import load
from genjax.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer

__all__ = [
    "Dataset",
    "Source",
    "Tokenizer",
    "build_corpus",
    "load",
    "load_tokenizer",
    "make_tokenizer",
    "require_unchanged",
    "train_batches",
    "validation_batches",
]
