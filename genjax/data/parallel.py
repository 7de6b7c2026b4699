"""Parallel text as the shared tasks give it: SPLIT.LANGUAGE files in a folder, line n of each saying the same."""

from pathlib import Path

from genjax.data import readers
from genjax.data.columns import SPLITS, columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.files import read_lines

__all__ = ["parallel"]


def languages(folder: Path) -> list[str]:
    """Of the training text, in order: the endings of train.en, train.de ..."""
    found = (file.suffix[1:] for file in folder.glob("train.*") if file.is_file())
    return sorted(language for language in found if language.isalpha() and len(language) in (2, 3))


def is_parallel(folder: Path) -> bool:
    return len(languages(folder)) > 1


@readers.register("parallel", folder=is_parallel)
def parallel(data: Data, folder: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """train.en and train.de, and perhaps validation.* and test.*: a field of text for each language, by its name.

    Raises UserError where the files of a split have unequal numbers of lines, or a language lacks a split.
    """
    splits = {}
    for split in SPLITS:
        files = {language: folder / f"{split}.{language}" for language in languages(folder)}
        if not any(file.exists() for file in files.values()):
            continue
        lines = {language: read_lines(file) for language, file in files.items()}
        if len({len(text) for text in lines.values()}) > 1:
            counts = " and ".join(f"{files[language].name} {len(text)}" for language, text in lines.items())
            raise UserError(f"{folder}: line n of each file says the same, but their numbers of lines differ: {counts}")
        splits[split] = {language: objects(text) for language, text in lines.items()}
    kinds = dict.fromkeys(splits["train"], "text")
    return columns_dataset(data, str(folder), splits, tokenizer, kinds=kinds)
