"""Handwritten digits that have a caption: one alone, or two beside each other, so that the text is needed."""

import numpy as np

from genjax.data import readers
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset, hold_out
from genjax.data.npz import handwritten
from genjax.data.tokenizers import Tokenizer
from genjax.experiment import Data

__all__ = ["NOTHING", "WORDS", "captioned_digits"]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOTHING = len(WORDS)  # the class of an empty half
SIDES = ("on the left", "on the right")
PICTURES = {"train": 6000, "validation": 600}
ALONE = 0.25  # share of pictures with one digit


@readers.register("captioned_digits")
def captioned_digits(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """Pictures (8, 16, 1) made of scikit-learn's handwritten digits: the fields `image`, `caption`, `left`, `right`.

    Captions are "four next to seven" and "a thin three on the left", where a third of a digit's pictures with the
    least ink is thin, a third with the most is bold, and of the rest the caption is "a three on the left". `left` and
    `right` are the digits of the halves, the last class standing for nothing. The 6,000 pictures for training are drawn
    (from a fixed seed) among the digits that the source `digits` trains on, the 600 for validation among the others.
    """
    image_NHWC, label_N = handwritten()
    names = (*WORDS, "nothing")
    weight_N, splits = _weights(image_NHWC, label_N), {}
    for number, (split, ids) in enumerate(zip(PICTURES, hold_out(len(label_N), 297 / 1797, "digits"))):
        draw, count = np.random.Generator(np.random.Philox(number)), PICTURES[split]
        halves_P2 = draw.choice(ids, (count, 2))
        alone_P, side_P = draw.random(count) < ALONE, draw.integers(0, 2, count)
        empty_P2 = alone_P[:, None] & (np.arange(2) != side_P[:, None])
        picture_P2HW = np.where(empty_P2[..., None, None], np.float32(-1), image_NHWC[halves_P2, :, :, 0])
        digit_P2 = np.where(empty_P2, NOTHING, label_N[halves_P2])
        captions = []
        for n in range(count):
            first, second = (names[digit] for digit in digit_P2[n])
            if alone_P[n]:
                side = side_P[n]
                words = ("a", weight_N[halves_P2[n, side]], names[digit_P2[n, side]], SIDES[side])
                captions.append(" ".join(filter(None, words)))
            else:
                captions.append(f"{first} next to {second}")
        splits[split] = {
            "image": np.concatenate([picture_P2HW[:, 0], picture_P2HW[:, 1]], axis=2)[..., None],
            "caption": objects(captions),
            "left": digit_P2[:, 0],
            "right": digit_P2[:, 1],
        }
    kinds = {"image": "image", "caption": "text", "left": "label", "right": "label"}
    return columns_dataset(data, place, splits, tokenizer, kinds=kinds, names={"left": names, "right": names})


def _weights(image_NHWC: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """(N,) "thin", "bold" or "", by the ink beside that of the same digit's other pictures."""
    ink_N, words = image_NHWC.sum((1, 2, 3)), np.full(len(label_N), "", object)
    for digit in range(10):
        low, high = np.quantile(ink_N[label_N == digit], (1 / 3, 2 / 3))
        words[(label_N == digit) & (ink_N < low)] = "thin"
        words[(label_N == digit) & (ink_N > high)] = "bold"
    return words
