import sys

import numpy as np
import pytest

from genjax.data import load, split_batches, train_batches
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import Image, Label, Real, Tokens

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def made(count):
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    columns = {
        "image": list(pixels),
        "label": [n % 3 for n in range(count)],
        "caption": [f"no. {n}" for n in range(count)],
        "score": [n / 4 for n in range(count)],
        "ids": [[n + 1] * (n % 3 + 1) for n in range(count)],
        "when": [{"a": n} for n in range(count)],
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["ant", "bee", "cat"]),
            "caption": datasets.Value("string"),
            "score": datasets.Value("float32"),
            "ids": datasets.Sequence(datasets.Value("int32")),
            "when": {"a": datasets.Value("int64")},
        }
    )
    return datasets.Dataset.from_dict(columns, features)


def test_a_translation_is_a_field_a_language(tmp_path):
    pairs = [{"de": f"Nummer {n}", "en": f"number {n}"} for n in range(9)]
    features = datasets.Features({"translation": datasets.Translation(languages=["de", "en"])})
    datasets.Dataset.from_dict({"translation": pairs}, features).save_to_disk(tmp_path / "pairs")
    dataset = load(Data(source=f"hf:{tmp_path / 'pairs'}", fields=("source=en:text", "target=de:text")))
    assert list(dataset.spec.fields) == ["source", "target"] and not dataset.unused
    assert dataset.texts["train"]["target"][0].replace("Nummer", "number") == dataset.texts["train"]["source"][0]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_local_folder(tmp_path, form):
    folder = tmp_path / "data"
    splits = {"train": made(12), "validation": made(5), "test": made(4)}
    if form == "arrow":
        datasets.DatasetDict(splits).save_to_disk(folder)
    else:
        folder.mkdir()
        for split, part in splits.items():
            part.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    dataset = load(Data(source=f"hf:{folder}"))
    assert dataset.spec.fields == {
        "image": Image(4, 4, 3),
        "label": Label(3, ("ant", "bee", "cat")),
        "caption": Tokens((64,), 257, ragged=True, end=256),
        "score": Real(()),
        "ids": Tokens((3,), 13, ragged=True),
    }
    assert dataset.unused == ("when",)
    assert [len(source) for source in dataset.splits.values()] == [12, 5, 4]
    for batch in (next(train_batches(dataset, 12, 0)), next(split_batches(dataset, "test", 4))):
        n = ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().astype(int)
        assert batch["label"].tolist() == (n % 3).tolist() and batch["score"].tolist() == (n / 4).tolist()
        assert batch["ids"][:, 0].tolist() == (n + 1).tolist()
        captions = [dataset.tokenizer.decode(row[: k - 1]) for row, k in zip(batch["caption"], batch["caption_length"])]
        assert captions == [f"no. {k}" for k in n]
    mapped = load(Data(source=f"hf:{folder}", fields=("x=score", "kind=label")))
    assert set(mapped.spec.fields) == {"x", "kind"} and set(mapped.unused) == {"image", "caption", "ids", "when"}


def test_a_file_and_a_share_held_out(tmp_path):
    made(20).remove_columns(["when", "image"]).to_parquet(tmp_path / "mine.parquet")
    spec = load(Data(path=str(tmp_path / "mine.parquet"))).spec
    assert (spec.train_examples, spec.validation_examples) == (18, 2) and spec.fields["label"].names[0] == "ant"


def test_what_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"hf:.*empty: cannot be read") as raised:
        load(Data(source=f"hf:{tmp_path / 'empty'}"))
    assert "\n" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'pip install "genjax-suite\[hf\]"'):
        load(Data(source="hf:anything"))
