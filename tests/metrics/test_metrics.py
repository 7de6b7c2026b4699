"""The protocol: references and outputs in batches, fields compared by name."""

import numpy as np
import pytest

from genjax.errors import UsageError, UserError
from genjax.metrics import METRICS, check_names, compared_fields
from genjax.metrics.sliced_wasserstein import sliced_wasserstein
from genjax.spec import DataSpec, Image, Label, Tokens

IMAGE, TEXT = Image(8, 8, 1), Tokens((4,), 9, ragged=True, end=0)


def images(count, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)


def text(*rows, length=None):
    tokens = np.zeros((len(rows), length or max(map(len, rows))), np.int32)
    for row, ids in zip(tokens, rows):
        row[: len(ids)] = ids
    return {"answer": tokens, "answer_length": np.array([len(ids) for ids in rows], np.int32)}


def test_a_set_metric_is_its_function_however_the_sets_are_cut():
    real, fake = images(20, 0), images(20, 1)
    metric = METRICS["swd"]("image", IMAGE)
    for part in np.split(real, (3, 11)):
        metric.observe({"image": part, "label": np.zeros(len(part))})
    for part in np.split(fake, (7,)):
        metric.update({"image": part})
    assert metric.result()["swd20"] == sliced_wasserstein(real, fake)


def test_references_serve_many_evaluations():
    real, metric = images(12, 0), METRICS["swd"]("image", IMAGE)
    metric.observe({"image": real})
    for seed in (1, 2):
        metric.reset()
        metric.update({"image": images(12, seed)})
        assert metric.result()["swd12"] == sliced_wasserstein(real, images(12, seed))
    kept = METRICS["swd"]("image", IMAGE)  # as a cache on disk would do it
    kept.references = metric.references
    kept.update({"image": images(12, 2)})
    assert kept.result() == metric.result()


def test_only_the_named_field_counts_and_rows_that_lack_it_are_left_out():
    real, fake = images(10, 0), images(6, 1)
    metric = METRICS["swd"]("image_b", IMAGE)
    present = np.arange(10) < 6
    metric.observe({"image_a": fake, "image_b": real, "image_b_present": present})
    metric.update({"image_a": real, "image_b": fake})
    assert metric.result()["swd6"] == sliced_wasserstein(real[:6], fake)
    with pytest.raises(UserError, match="one is empty"):
        METRICS["swd"]("image", IMAGE).result()


def test_texts_match_pair_by_pair():
    metric = METRICS["match"]("answer", TEXT)
    metric.observe(text([1, 2, 3, 0], [4, 5, 0]))
    metric.observe(text([6, 0], length=7))
    metric.update(text([1, 2, 3], [4, 6, 7]))  # the first is right, with or without an end
    metric.update(text([0, 6, 0]))
    values = metric.result()
    assert (values["exact_match"], values["token_accuracy"]) == (2 / 3, (3 + 1 + 1) / (3 + 3 + 1))
    assert 0 < values["token_accuracy_se"] < values["exact_match_se"] < 0.5
    metric.reset()
    metric.update(text([1], [1], [1]))
    assert metric.result()["exact_match"] == 0 and metric.result()["token_accuracy"] == 1 / (3 + 2 + 1)


def test_texts_without_lengths_or_references_and_in_another_spelling():
    plain = METRICS["match"]("answer", Tokens((3,), 9))
    plain.observe({"answer": np.array([[1, 2, 0], [3, 3, 3]])})
    plain.update({"answer": np.array([[1, 2, 0], [3, 4, 3]])})
    assert plain.result()["exact_match"] == 0.5 and plain.result()["token_accuracy"] == 5 / 6

    class Pieces:
        def decode(self, ids):
            return "".join(" a b ab".split(" ")[i] for i in ids)

    spelled = METRICS["match"]("answer", TEXT, Pieces())
    spelled.observe(text([1, 2], [1]) | {"answer_present": np.array([True, False])})
    spelled.update(text([3], [2]))
    assert spelled.result()["exact_match"] == 1 and spelled.result()["token_accuracy"] == 0
    spelled.references["answer_present"] = [np.array([False, False])]
    assert spelled.result() == {}  # nothing counts: no number, rather than 0


def test_more_outputs_than_references_are_no_pairs():
    metric = METRICS["match"]("answer", TEXT)
    metric.observe(text([1]))
    metric.update(text([1], [2]))
    with pytest.raises(ValueError, match="zip"):
        metric.result()


def test_every_metric_says_what_it_needs_and_which_way_is_better():
    assert {name: (m.needs, m.paired, m.over_features, m.higher_is_better) for name, m in METRICS.items()} == {
        **dict.fromkeys(("fd", "fid", "kid", "ifd", "mmd", "energy"), (Image, False, True, False)),
        **dict.fromkeys(("is", "pr", "dc", "auth", "diversity"), (Image, False, True, True)),
        "caption": (Image, True, True, True),
        "pixels": (Image, True, False, False),
        "swd": (Image, False, False, False),
        **dict.fromkeys(("match", "bleu", "chrf", "rouge"), (Tokens, True, False, True)),
        **dict.fromkeys(("smiles", "tunes"), (Tokens, False, False, True)),
    }


def test_unknown_names_are_refused():
    check_names(METRICS)
    with pytest.raises(UsageError, match="unknown metric fvd: there are fd, fid, kid, is"):
        check_names(("swd", "fvd"))


def test_fields_are_compared_by_their_names():
    data = DataSpec({"image_a": IMAGE, "image_b": IMAGE, "label": Label(3)})
    assert compared_fields("swd", {"image_b": IMAGE}, data) == ("image_b",)
    assert compared_fields("swd", {"image_b": IMAGE, "image_a": IMAGE, "sketch": IMAGE}, data) == ("image_b", "image_a")
    with pytest.raises(UsageError, match=r"swd compares image of the samples with .* this data has image_a \(images"):
        compared_fields("swd", {"image": IMAGE}, data)
    with pytest.raises(UsageError, match=r"fields of kind Image, and the samples have answer \(text of up to 4 tokens"):
        compared_fields("swd", {"answer": TEXT}, data)
    with pytest.raises(UsageError, match="the data's field of that name and of kind Tokens"):
        compared_fields("match", {"label": TEXT}, data)
