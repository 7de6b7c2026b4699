"""Where examples come from, and how they become batches.

`load` turns the `Data` section of a recipe into a `Dataset`; `train_batches` and `split_batches` read it. A batch is a
pure function of (seed, step). A new kind of data is one function (see `readers`). `build_corpus` prepares text that is
too big for memory.
"""

from genjax.data import readers
from genjax.data.compose import Concat, Views, Zip
from genjax.data.corpus import build_corpus
from genjax.data.dataset import Dataset, Source, require_unchanged
from genjax.data.draws import Draws
from genjax.data.known import known_spec
from genjax.data.pipeline import split_batches, train_batches, validation_batches
from genjax.data.sources import load
from genjax.data.synthetic import synthetic_dataset
from genjax.data.text import Padded
from genjax.data.tokenizers import Tokenizer, find_tokenizer, load_tokenizer, make_tokenizer

__all__ = [
    "Concat",
    "Dataset",
    "Draws",
    "Padded",
    "Source",
    "Tokenizer",
    "Views",
    "Zip",
    "build_corpus",
    "find_tokenizer",
    "known_spec",
    "load",
    "load_tokenizer",
    "make_tokenizer",
    "readers",
    "require_unchanged",
    "split_batches",
    "synthetic_dataset",
    "train_batches",
    "validation_batches",
]
