import json

import numpy as np
import pytest

from genjax.data import build_corpus, corpus, load, load_tokenizer, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data


@pytest.fixture
def texts(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(4)]
    for n, path in enumerate(paths):
        path.write_text(f"Document {n} überall.\n" * 30 * n, encoding="utf-8")  # the first is empty
    return paths


def both(folder):
    description = json.loads((folder / "corpus.json").read_text())
    return [np.fromfile(folder / f"{split}.bin", description["dtype"]) for split in ("train", "validation")]


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe:290"])
def test_the_corpus_is_the_documents(tmp_path, texts, tokenizer, monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 100)  # many blocks a document
    out = tmp_path / "made" / "corpus"
    description = build_corpus(texts, out, tokenizer, validation=0.2)
    assert sorted(path.name for path in out.parent.iterdir()) == ["corpus"]
    coder, (train, held) = load_tokenizer(out), both(out)
    documents = [path.read_text(encoding="utf-8") for path in texts[1:]]
    joined = "".join(documents)
    assert coder.decode(train) + coder.decode(held) == joined
    assert abs(len(coder.decode(train).encode()) / len(joined.encode()) - 0.8) < 0.01
    if coder.end_of_text is None:
        np.testing.assert_array_equal(np.concatenate([train, held]), coder.encode(joined))
    else:
        ends = [np.flatnonzero(part == coder.end_of_text) for part in (train, held)]
        assert (len(ends[0]), len(ends[1])) == (2, 1) and ends[1][0] == len(held) - 1
        np.testing.assert_array_equal(train[: ends[0][0]], coder.encode(documents[0]))
        np.testing.assert_array_equal(train[ends[0][0] + 1 : ends[0][1]], coder.encode(documents[1]))
    assert description["train"] == len(train) and description["vocabulary"] == coder.vocabulary

    dataset = load(Data(path=str(out), context=16, tokenizer="char"))
    assert dataset.tokenizer.vocabulary == coder.vocabulary
    assert dataset.spec.validation_examples == (len(held) - 1) // 16
    first = next(validation_batches(dataset, 2))
    np.testing.assert_array_equal(first["tokens"][0], held[:17])
    batch = next(train_batches(dataset, 4, 0))["tokens"]
    windows = {train[start : start + 17].astype(np.int32).tobytes() for start in range(len(train) - 16)}
    assert batch.dtype == np.int32 and all(row.tobytes() in windows for row in batch)


def test_big_vocabularies_take_four_bytes(tmp_path):
    text = tmp_path / "all.txt"
    text.write_text("".join(map(chr, range(0x10000, 0x10000 + 70_000))), encoding="utf-8")
    build_corpus([text], tmp_path / "out", "char", validation=0.5)
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["dtype"] == "<u4"
    assert both(tmp_path / "out")[1].max() == 69_999
    assert next(validation_batches(load(Data(path=str(tmp_path / "out"))), 2))["bytes"].min() == 4


def test_a_failed_build_leaves_nothing(tmp_path, texts):
    texts[2].write_bytes(b"good until here \xff and then not")
    for tokenizer in ("byte", "char"):
        with pytest.raises(UserError, match=r"2\.txt: not UTF-8"):
            build_corpus(texts, tmp_path / "out", tokenizer)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in texts}


def test_what_cannot_be_built(tmp_path, texts):
    with pytest.raises(UserError, match="exists; remove it"):
        build_corpus(texts, tmp_path)
    with pytest.raises(UserError, match="no such file"):
        build_corpus([tmp_path / "none.txt"], tmp_path / "out")
    with pytest.raises(UsageError, match="at least one"):
        build_corpus([], tmp_path / "out")
    with pytest.raises(UsageError, match="between 0 and 1"):
        build_corpus(texts, tmp_path / "out", validation=1.0)
    with pytest.raises(UserError, match="too little text"):
        build_corpus(texts[:1], tmp_path / "out")
    with pytest.raises(UserError, match="cannot be made"):
        build_corpus(texts, texts[0] / "below a file")


def edit(folder, **changes):
    path = folder / "corpus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda out: (out / "train.bin").write_bytes(b"\0" * 100), "100 bytes instead of"),
        (lambda out: (out / "validation.bin").unlink(), "0 bytes instead of"),
        (lambda out: (out / "corpus.json").write_text("{}"), "not a readable description"),
        (lambda out: (out / "corpus.json").write_text("[1"), "not a readable description"),
        (lambda out: edit(out, version=2), "version 2"),
        (lambda out: edit(out, dtype="float32"), "float32"),
        (lambda out: edit(out, dtype=[]), "not a readable|is not read"),
        (lambda out: edit(out, vocabulary=7), "256 tokens, the corpus 7"),
        (lambda out: (out / "tokenizer.json").unlink(), r"tokenizer\.json"),
    ],
)
def test_a_damaged_corpus_is_refused(tmp_path, texts, damage, message):
    build_corpus(texts, tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        load(Data(path=str(tmp_path / "out")))


def test_a_token_outside_the_vocabulary_is_refused(tmp_path, texts):
    build_corpus(texts, tmp_path / "out")
    size = (tmp_path / "out" / "train.bin").stat().st_size
    (tmp_path / "out" / "train.bin").write_bytes(b"\xff" * size)
    with pytest.raises(UserError, match="holds token 65535"):
        next(train_batches(load(Data(path=str(tmp_path / "out"))), 2, 0))
