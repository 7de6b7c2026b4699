"""Names by language, of Babel's CLDR."""

import sys
from collections import Counter

import numpy as np
import pytest

from genjax import data
from genjax.errors import UserError
from genjax.experiment import Data

ASKED = Data(source="languages", tokenizer="char", context=48)


def test_each_name_is_in_one_language_and_every_language_is_there():
    pytest.importorskip("babel")
    dataset = data.load(ASKED)
    label = dataset.spec.fields["label"]
    assert label.classes == 15 and {"German", "English", "Turkish"} <= set(label.names)
    names = [name for split in ("train", "validation") for name in dataset.texts[split]["text"].tolist()]
    assert max(Counter(names).values()) == 1 and "Japan" not in names
    assert len(dataset.train) > 10_000 and len(dataset.validation) > 1_000
    place = dataset.texts["train"]["text"].tolist().index("Vereinigtes Königreich")
    row = dataset.train.gather(np.array([place]))
    assert label.names[row["label"][0]] == "German"
    assert dataset.tokenizer.decode(row["text"][0, : row["text_length"][0] - 1]) == "Vereinigtes Königreich"


def test_without_babel_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(UserError, match=r"pip install genjax-suite\[text\]"):
        data.load(ASKED)
