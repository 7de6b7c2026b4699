"""BLEU, chrF and ROUGE: sacreBLEU's and rouge-score's own numbers, on texts as the data has them."""

import sys

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics import METRICS
from genjax.spec import Tokens

FIELD = Tokens((64,), 256, ragged=True, end=0)
WANTED = ["Die Katze sitzt auf der Matte.", "Klicken Sie auf OK, um fortzufahren.", "Öffnen Sie das Menü Datei."]
MADE = ["Die Katze saß auf der Matte.", "Klicken Sie auf OK, um weiter zu gehen.", "Öffnen Sie das Menü Datei."]


class Bytes:
    """A tokenizer of Latin-1 letters."""

    def decode(self, ids):
        return bytes(ids).decode("latin-1")


def rows(texts, cut=64):
    tokens = np.zeros((len(texts), 64), np.int32)
    ids = [[*text.encode("latin-1"), 0][:cut] for text in texts]
    for row, text in zip(tokens, ids):
        row[: len(text)] = text
    return {"target": tokens, "target_length": np.array([len(text) for text in ids], np.int32)}


def raw(texts):
    return {"target_text": np.array(texts, object)}


def measured(name, references, outputs):
    metric = METRICS[name]("target", FIELD, Bytes())
    for part in references:
        metric.observe(part)
    metric.update(outputs)
    return metric.result(), metric.signature


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_the_scores_are_those_of_sacrebleu_with_its_signature(name):
    sacrebleu = pytest.importorskip("sacrebleu")
    theirs = {"bleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}[name](MADE, [WANTED])
    values, signature = measured(name, [rows(WANTED[:1]), rows(WANTED[1:])], rows(MADE))
    assert values[name] == pytest.approx(theirs.score) and 20 < values[name] < 95
    assert 0 < values[f"{name}_se"] < 30 and {type(value) for value in values.values()} == {float}
    assert signature.startswith("BLEU|nrefs:1|bs:1000|" if name == "bleu" else "CHRF|nrefs:1|bs:1000|")
    assert f"version:{sacrebleu.__version__}" in signature
    perfect, _ = measured(name, [rows(WANTED)], rows(WANTED))
    assert perfect[name] == pytest.approx(100)


def test_a_reference_is_whole_where_its_tokens_were_cut():
    pytest.importorskip("sacrebleu")
    cut, _ = measured("bleu", [rows(WANTED, cut=25)], rows(WANTED, cut=25))
    assert cut["bleu"] == pytest.approx(100)
    whole, _ = measured("bleu", [rows(WANTED, cut=25) | raw(WANTED)], rows(WANTED, cut=25))
    assert whole["bleu"] < 90


def test_rows_without_the_field_do_not_count():
    pytest.importorskip("sacrebleu")
    present = {"target_present": np.array([True, False, True])}
    values, _ = measured("bleu", [rows(WANTED) | raw(WANTED) | present], rows(MADE))
    expected, _ = measured("bleu", [rows(WANTED[::2])], rows(MADE[::2]))
    assert values == expected
    nothing, _ = measured("bleu", [rows(WANTED) | {"target_present": np.zeros(3, bool)}], rows(MADE))
    assert nothing == {}


def test_rouge_is_that_of_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge2", "rougeL"], use_stemmer=True)
    values, _ = measured("rouge", [rows(WANTED) | raw(WANTED)], rows(MADE))
    for kind in ("rouge2", "rougeL"):
        expected = [scorer.score(wanted, made)[kind].fmeasure for wanted, made in zip(WANTED, MADE)]
        assert values[kind] == pytest.approx(100 * np.mean(expected))
        assert 0 < values[f"{kind}_se"] < 30
    assert measured("rouge", [rows(WANTED)], rows(WANTED))[0]["rougeLsum"] == 100


@pytest.mark.parametrize("name, module", [("bleu", "sacrebleu"), ("chrf", "sacrebleu"), ("rouge", "rouge_score")])
def test_a_library_that_is_absent_is_named_with_the_cure(name, module, monkeypatch):
    for known in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"{name} is .*: pip install genjax-suite\[text\]") as error:
        METRICS[name]("target", FIELD)
    assert "\n" not in str(error.value)
