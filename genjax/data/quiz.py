"""Questions about Python's manual, for language models that read it: how does a passage go on?"""

import numpy as np

from genjax.data import readers
from genjax.data.columns import objects
from genjax.data.dataset import Dataset
from genjax.data.instructions import instructions
from genjax.data.text import manual
from genjax.data.tokenizers import Tokenizer
from genjax.experiment import Data

__all__ = ["cloze", "quiz"]

WORDS, ANSWER, CHOICES = 8, 3, 4  # words of a prompt and of an answer
LONGEST = 80  # bytes of a passage


@readers.register("quiz")
def quiz(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The field `tokens` of instructions with four choices: eight words, and which three follow. Guessing has 25%.

    The wrong choices are those of other passages. The passages of the split `validation` are from the part of the
    manual that the source `pydoc` holds out, those of `train`, which --data.shots draws from, from the rest.
    """
    draw, columns, sizes = np.random.Generator(np.random.Philox(0)), {"prompt": [], "choices": [], "answer": []}, []
    for passages in _passages(data, ANSWER):
        for n, (prompt, answer) in enumerate(passages):
            others = draw.choice(len(passages) - 1, 2 * CHOICES, replace=False)
            wrong = dict.fromkeys(passages[k + (k >= n)][1] for k in others.tolist())  # in order, each once
            choices = [text for text in wrong if text != answer][: CHOICES - 1]
            right = int(draw.integers(len(choices) + 1))
            columns["prompt"].append(prompt)
            columns["choices"].append([*choices[:right], answer, *choices[right:]])
            columns["answer"].append(right)
        sizes.append(len(passages))
    return _dataset(data, columns, sizes, tokenizer)


@readers.register("cloze")
def cloze(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The field `tokens` of instructions: the same eight words, and the one that follows."""
    passages = _passages(data, 1)
    prompt, answer = zip(*(pair for part in passages for pair in part))
    return _dataset(data, {"prompt": prompt, "answer": answer}, [len(part) for part in passages], tokenizer)


def _passages(data: Data, answer: int) -> list[list[tuple[str, str]]]:
    """(prompt, what follows, with the space behind it) of the passages of each split."""
    text, found = manual(), []
    cut = round(len(text) * (1 - data.validation))
    for part in (text[:cut], text[cut:]):
        words = part.split()
        starts = range(0, len(words) - WORDS - ANSWER, WORDS + ANSWER)
        cuts = ((words[i : i + WORDS], words[i + WORDS : i + WORDS + answer]) for i in starts)
        pairs = ((" ".join(before), f" {' '.join(after)} ") for before, after in cuts)
        found.append([pair for pair in pairs if len("".join(pair).encode()) <= LONGEST])
    return found


def _dataset(data: Data, columns: dict, sizes: list[int], tokenizer: Tokenizer | None) -> Dataset:
    held = np.split(np.arange(sum(sizes)), [sizes[0]])
    made = {name: objects(list(column)) for name, column in columns.items()}
    return instructions(data, data.source, made, tokenizer, held=(held[0], held[1]), bare=True)
