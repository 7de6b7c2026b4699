"""Source code that every Python brings along: another kind of text than its manual, for models that learn anew."""

import sysconfig
from pathlib import Path

from genjax.data import readers
from genjax.data.dataset import Dataset
from genjax.data.text import text_dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data

__all__ = ["library", "pysource"]

MOST = 2**20  # characters


@readers.register("pysource")
def pysource(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The first megabyte of the modules of Python's library, by name."""
    return text_dataset(data, library(), "pysource", tokenizer)


def library() -> str:
    """The modules in the library's first folder, sorted by name. The text differs between versions of Python."""
    folder, texts = Path(sysconfig.get_path("stdlib")), []
    for file in sorted(folder.glob("[a-z]*.py")):
        texts.append(file.read_text("utf-8", errors="ignore"))
        if sum(map(len, texts)) >= MOST:
            break
    if not texts:
        raise UserError(f"pysource: {folder} has no modules: install Python's whole library, or use --data.path")
    return "\n\n".join(texts)[:MOST]
