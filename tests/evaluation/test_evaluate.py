"""Sums over a split, metrics on samples, tasks."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from evaluation.doubles import (
    DOMAINS,
    IMAGE,
    PAIRS,
    PICTURES,
    Answerer,
    Painter,
    Plain,
    Translator,
    dataset,
    engine,
    rows,
)

from genjax.errors import UsageError, UserError
from genjax.evaluation import evaluate as module
from genjax.evaluation.evaluate import Evaluation, evaluate
from genjax.experiment import Data, Task
from genjax.metrics.sliced_wasserstein import sliced_wasserstein
from genjax.spec import DataSpec, Image, Latent


def measured(model, spec, data, **evaluation):
    built = engine(model, spec, **evaluation)
    return evaluate(built, built.init(), data)


def test_totals_are_divided_by_their_counts_and_nothing_counted_is_no_metric():
    metrics = measured(Plain(weight=2.0), PICTURES, dataset(PICTURES, validation=10))
    assert metrics == pytest.approx({"share": 2 * 6 / 5, "share_count": 0.5, "rows": 1.0, "count": 10.0})
    few = measured(Plain(), PICTURES, dataset(PICTURES, validation=10), examples=3)
    assert few["count"] == 3 and few["share"] == pytest.approx(6 / 5)  # not 0.18, though the count is under 1


def test_a_split_of_which_nothing_counts_gives_no_metrics():
    assert measured(Plain(), PICTURES, dataset(PICTURES, validation=2, torn=(0, 1))) == {}


def test_what_follows_from_the_means_is_added():
    class Perplexed(Plain):
        def finalize(self, metrics):
            return metrics | {"twice": 2 * metrics["rows"]}

    assert measured(Perplexed(), PICTURES, dataset(PICTURES))["twice"] == 2.0


def test_samples_have_the_labels_of_the_examples_they_are_compared_with():
    data = dataset(PICTURES, validation=10)
    built = engine(Painter(), PICTURES)
    metrics = evaluate(built, built.init(), data)
    given = {"index": np.arange(10, dtype=np.int32), "label": data.validation.arrays["label"]}
    made = built.sample(built.init(), given, 0, Painter.Options())["image"]
    assert metrics["swd10"] == pytest.approx(sliced_wasserstein(data.validation.arrays["image"], made), rel=1e-5)


def test_examples_that_cannot_be_read_are_left_out():
    data = dataset(PICTURES, validation=10, torn=(3, 9))
    built = engine(Painter(), PICTURES, set_size=9)
    kept = [0, 1, 2, 4, 5, 6, 7, 8]
    given = {"index": np.arange(8, dtype=np.int32), "label": data.validation.arrays["label"][kept]}
    made = built.sample(built.init(), given, 0, Painter.Options())["image"]
    expected = sliced_wasserstein(data.validation.arrays["image"][kept], made)
    assert evaluate(built, built.init(), data)["swd8"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UserError, match="swd: none of the first 1 validation images can be read"):
        measured(Painter(), PICTURES, dataset(PICTURES, torn=(0,)), set_size=1)


def test_references_are_read_once_for_all_evaluations():
    data = dataset(PICTURES, validation=10)
    built = engine(Painter(), PICTURES)
    evaluation, state, reads = Evaluation(built, data), built.init(), []
    values = []
    for _ in range(3):
        data.validation.reads.clear()
        values.append(evaluation(state))
        reads.append(sum(data.validation.reads))
    assert values[0] == values[1] == values[2]
    assert reads[0] > reads[1] == reads[2] == 12  # the sums alone: three batches of 4


def test_a_translation_is_compared_with_its_own_domain():
    data = dataset(DOMAINS)
    arrays = data.validation.arrays
    expected = sliced_wasserstein(arrays["image_b"], arrays["image_a"])
    assert measured(Translator(), DOMAINS, data, metrics=("swd",))["swd10"] == pytest.approx(expected, rel=1e-6)
    only = DataSpec({"image_a": Image(8, 8, 1)})
    with pytest.raises(UsageError, match=r"swd compares image_b of the samples .* this data has image_a"):
        measured(Translator(), only, dataset(only), metrics=("swd",))


def test_values_name_their_field_where_there_are_several():
    class Both(Translator):
        def outputs(self, spec):
            return spec.fields

        def sample(self, params, state, key, conditions, options):
            return {"image_b": conditions["image_a"], "image_a": conditions["image_a"]}

    metrics = measured(Both(), DOMAINS, dataset(DOMAINS), metrics=("swd",))
    assert metrics["swd10_image_a"] == 0 and metrics["swd10_image_b"] > 0 and "swd10" not in metrics
    assert metrics["swd10_image_b_se"] > 0


def test_pairs_are_compared_one_by_one():
    data = dataset(PAIRS)
    metrics = measured(Answerer(), PAIRS, data, metrics=("match",))
    assert metrics["exact_match"] < 0.5 and 0 <= metrics["token_accuracy"] < 0.6
    same = {name.replace("question", "answer"): array for name, array in data.validation.arrays.items() if "q" in name}
    twins = dataclasses.replace(data, validation=dataclasses.replace(data.validation, arrays={**same, **{
        name.replace("answer", "question"): array for name, array in same.items()}}))  # fmt: skip
    metrics = measured(Answerer(), PAIRS, twins, metrics=("match",))
    assert metrics["exact_match"] == metrics["token_accuracy"] == 1.0


def test_texts_are_compared_with_the_data_as_it_is_and_the_metric_signs():
    pytest.importorskip("sacrebleu")
    data = dataset(PAIRS, validation=10, torn=(3,))
    questions = data.validation.arrays
    copies = [" ".join(map(str, ids[:n])) for ids, n in zip(questions["question"], questions["question_length"])]
    texts = {"validation": {"answer": np.array([f"{text.removesuffix(' 0')} and more" for text in copies], object)}}
    built = engine(Answerer(), PAIRS, metrics=("bleu",))
    evaluation = Evaluation(built, dataclasses.replace(data, texts=texts))
    values = evaluation(built.init())
    assert evaluation.signatures[0].startswith("BLEU|nrefs:1|")
    references, outputs = evaluation.parts[""].measure._references.comparison.metrics[0].texts()
    assert len(outputs) == 9 and references == [t for n, t in enumerate(texts["validation"]["answer"]) if n != 3]
    assert 0 < values["bleu"] < 100


@pytest.mark.parametrize(
    ("model", "spec", "metric", "message"),
    [
        (Plain(), PICTURES, "swd", "swd compares samples with data, and Plain makes none"),
        (Answerer(), PAIRS, "swd", r"swd compares fields of kind Image, and the samples have answer \(text"),
        (Painter(), PICTURES, "match", "match compares each sample with its own example, and Painter samples from"),
        (Translator(), DOMAINS, "match", "match compares fields of kind Tokens, and the samples have image_b"),
        (Painter(), PICTURES, "fvd", "unknown metric fvd: there are fd, fid, kid"),
        (Painter(), PICTURES, "fid", "--features inception:FILE needs its weights of 2015-12-05"),
    ],
)
def test_metrics_that_have_nothing_to_compare_are_refused_before_the_first_step(model, spec, metric, message):
    with pytest.raises(UsageError, match=message):
        Evaluation(engine(model, spec, metrics=(metric,)), dataset(spec))


def test_data_of_latents_alone_has_no_images_to_compare():
    spec = DataSpec({"latent": Latent(4, 4, 2, std=1.0, image=Image(8, 8, 1))})
    with pytest.raises(UsageError, match=r"this data has latent \(latents of 4 x 4 x 2\)"):
        Evaluation(engine(Painter(), spec), dataset(spec))


def test_tasks_measure_other_splits_and_other_data(monkeypatch):
    data, other = dataset(PICTURES, train=24, validation=10), dataset(PICTURES, validation=6)
    monkeypatch.setattr(module, "load", lambda config, tokenizer: {"other": other}[config.source])
    tasks = {
        "seen": Task(split="train", examples=8, metrics=("swd",)),
        "elsewhere": Task(data=Data(source="other")),
    }
    metrics = measured(Painter(), PICTURES, data, tasks=tasks, set_size=10)
    assert [metrics[f"{task}count"] for task in ("", "seen/", "elsewhere/")] == [10, 8, 6]
    assert metrics["seen/swd10"] != metrics["swd10"] and "elsewhere/swd6" not in metrics


def test_tasks_need_data_of_the_same_kinds(monkeypatch):
    smaller = DataSpec({"image": Image(4, 4, 1), "label": PICTURES.fields["label"]})
    monkeypatch.setattr(module, "load", lambda config, tokenizer: dataset(smaller))
    built = engine(Plain(), PICTURES, tasks={"small": Task(data=Data())})
    with pytest.raises(UserError, match=r"^eval.tasks small: .*image"):
        Evaluation(built, dataset(PICTURES))
    built = engine(Plain(), PICTURES, tasks={"end": Task(split="test")})
    with pytest.raises(UserError, match=r"^eval.tasks end: .*test"):
        Evaluation(built, dataset(PICTURES))
    tested = dataset(PICTURES, test=rows(PICTURES, 5, 3))
    assert Evaluation(built, tested)(built.init())["end/count"] == 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copier(Painter):
    """Draws one picture of each label, again and again."""

    def sample(self, params, state, key, conditions, options):
        return {"image": jnp.zeros(IMAGE.shape) + conditions["label"][:, None, None, None] / 3 - 0.5}


def test_a_table_has_a_floor_of_real_examples_and_several_seeds(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("fd", "ifd", "auth", "swd")
    built = engine(Copier(), PICTURES, metrics=names, features="random")
    data = dataset(PICTURES, train=60, validation=24)
    evaluation = Evaluation(built, data)
    table = {row.name: row for row in evaluation.table(built.init(), seeds=2)}
    assert set(table) > {"fd24_random", "intra_fd24_random", "authenticity24_random", "swd24"}
    for name in ("fd24_random", "intra_fd24_random", "swd24"):
        assert table[name].value > table[name].floor > 0 and table[name].error > 0
    assert table["authenticity24_random"].floor > 0.1
    assert table["count"].floor is None and table["fd24_random"].seeds == ()  # every seed draws the same
    (sheet,) = evaluation.sheets.values()
    train = data.train.arrays["image"]
    assert sheet.shape == (16, 6, 8, 8, 1) and all(any(np.array_equal(x, y) for y in train) for x in sheet[0, 1:])
    unfloored = evaluation.table(built.init(), floor=False)
    assert [row.value for row in unfloored] == [row.value for row in table.values()]
    assert all(row.floor is None for row in unfloored)


def test_the_floor_has_the_labels_of_the_samples():
    data = dataset(PICTURES, train=60, validation=24)
    evaluation = Evaluation(engine(Painter(), PICTURES), data)
    measure = evaluation.parts[""].measure
    given = {"label": np.array([2, 0, 0, 2, 1]), "index": np.arange(5)}
    found = np.concatenate([batch["label"] for batch in measure._like("train", given)])
    assert sorted(found) == [0, 0, 1, 2, 2]


def test_the_floor_is_no_first_part_of_ordered_files():
    data = dataset(PICTURES, train=60, validation=24)
    measure = Evaluation(engine(Painter(conditional=False), PICTURES), data).parts[""].measure
    found = np.concatenate([batch["image"] for batch in measure._like("train", {"index": np.arange(20)})])
    place = [next(i for i, y in enumerate(data.train.arrays["image"]) if np.array_equal(x, y)) for x in found]
    assert len(set(place)) == 20 and max(place) >= 40


def test_class_by_class_needs_classes():
    built = engine(Painter(conditional=False), PICTURES, metrics=("ifd",), features="random")
    with pytest.raises(UsageError, match="ifd compares class by class, and these samples have no label"):
        Evaluation(built, dataset(PICTURES))
    options = Painter.Options(label=(1,))
    with pytest.raises(UsageError, match="--label: samples that are measured have the labels of the examples"):
        Evaluation(engine(Painter(), PICTURES), dataset(PICTURES), options=options)
