"""SMILES: what RDKit calls a molecule, equal ones, known ones; and what is said where it is not installed."""

import sys

import numpy as np
import pytest
from metrics.test_tunes import Bytes, batch

from genjax.errors import UserError
from genjax.metrics import METRICS
from genjax.spec import Tokens

FIELD = Tokens((64,), 256, ragged=True, end=0)


def test_valid_different_and_new():
    pytest.importorskip("rdkit")
    metric = METRICS["smiles"]("tokens", FIELD, Bytes())
    metric.observe(batch(("CCO", "c1ccccc1")))
    metric.observe(batch(("CC(=O)O",)))
    made = ["OCC", "C(O)C", "CCN", "CCC", "C1CC", "C(C)(C)(C)(C)C", "xyz", "NCC"]  # ethanol twice, CCN twice
    metric.update(batch(*((text,) for text in made)))
    values = metric.result()
    assert values["validity"] == 5 / 8 and values["uniqueness"] == 3 / 5 and values["novelty"] == 2 / 3
    assert 0 < values["validity_se"] < 0.3
    metric.reset()
    metric.update(batch(("xyz",)))
    assert metric.result() == {"validity": 0.0, "validity_se": 0.0}
    assert {type(value) for value in values.values()} == {float}


def test_without_rdkit_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(UserError, match=r"smiles is judged by RDKit: pip install genjax-suite\[chem\]"):
        METRICS["smiles"]("tokens", FIELD, Bytes())


def test_texts_of_a_set_are_told_apart_by_their_ends():
    metric = METRICS["tunes"]("tokens", FIELD, Bytes())
    metric.observe(batch(("ab", "c"), ("d",)))
    assert list(metric.spelled(metric.references)) == ["ab", "c", "d"]
    whole = {"tokens": np.array([[97, 98]])}  # without a length
    metric.update(whole)
    assert list(metric.spelled(metric.outputs)) == ["ab"]
