"""Long sequences of few symbols: the letters of a text, the bases of a genome."""

import re
from pathlib import Path

from genjax.data import readers
from genjax.data.dataset import Dataset
from genjax.data.text import manual, text_dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data

__all__ = ["fasta", "letters"]


@readers.register("letters")
def letters(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The source `pydoc` as 26 symbols: its letters, small, without what stands between words."""
    return text_dataset(data, re.sub("[^a-z]+", "", manual().lower()), "letters", tokenizer)


@readers.register("fasta", suffix=(".fa", ".fasta", ".fna"))
def fasta(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """The sequences of a FASTA file in capital letters, one after another; lines that begin with > or ; are names.

    Raises UserError where a sequence holds anything but letters, * and -.
    """
    try:
        lines = place.read_text("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not FASTA ({error})") from None
    sequence = "".join(line.strip().upper() for line in lines if not line.startswith((">", ";")))
    if odd := re.search("[^A-Z*-]", sequence):
        raise UserError(f"{place}: not FASTA: a sequence holds {odd[0]!r}")
    return text_dataset(data, sequence, str(place), tokenizer)
