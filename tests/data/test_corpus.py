import json
import subprocess
import sys

import numpy as np
import pytest

from genjax.data import build_corpus, corpus, load, load_tokenizer, make_tokenizer, train_batches, validation_batches
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
    assert abs(len(coder.decode(train).encode()) / len(joined.encode()) - 0.8) < 0.01
    if coder.end_of_text is None:
        closed = "".join(f"{document}\n" for document in documents)
        np.testing.assert_array_equal(np.concatenate([train, held]), coder.encode(closed))
    else:
        ends = [np.flatnonzero(part == coder.end_of_text) for part in (train, held)]
        assert (len(ends[0]), len(ends[1])) == (2, 1) and ends[1][0] == len(held) - 1
        np.testing.assert_array_equal(train[: ends[0][0]], coder.encode(documents[0]))
        assert coder.decode(train) + coder.decode(held) == joined
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


def test_documents_without_a_last_line_break_are_apart(tmp_path):
    for n in range(2):
        (tmp_path / f"{n}.txt").write_text("one" * 20 + "end", encoding="utf-8")
    for tokenizer in ("byte", "char"):
        build_corpus(sorted(tmp_path.glob("*.txt")), tmp_path / tokenizer, tokenizer, validation=0.1)
        train, held = both(tmp_path / tokenizer)
        assert "endone" not in (text := load_tokenizer(tmp_path / tokenizer).decode([*train, *held]))
        assert text.count("end\n") == 2


def test_samples_start_from_an_end_of_text_that_training_has_seen(tmp_path, texts):
    for name, files in (("one", texts[3:]), ("many", texts)):
        build_corpus(files, tmp_path / name, "bpe:290", validation=0.2)
        dataset = load(Data(path=str(tmp_path / name), context=16))
        end = dataset.tokenizer.end_of_text
        assert dataset.spec.fields["tokens"].end == (end if name == "many" else None)
        assert (end in dataset.train.tokens_N) == (name == "many")


def test_another_tokenizer_than_that_of_the_run_is_refused(tmp_path, texts):
    build_corpus(texts, tmp_path / "out", "char")
    data = Data(path=str(tmp_path / "out"), context=8)
    assert load(data, load_tokenizer(tmp_path / "out")).tokenizer.vocabulary == load(data).tokenizer.vocabulary
    with pytest.raises(UserError, match="another tokenizer than that of the run"):
        load(data, make_tokenizer("byte", ""))


def test_big_vocabularies_take_four_bytes(tmp_path):
    text = tmp_path / "all.txt"
    text.write_text("".join(map(chr, range(0x10000, 0x10000 + 70_000))), encoding="utf-8")
    build_corpus([text], tmp_path / "out", "char", validation=0.5)
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["dtype"] == "<u4"
    assert both(tmp_path / "out")[1].max() == 70_000  # after the line break
    assert next(validation_batches(load(Data(path=str(tmp_path / "out"))), 2))["bytes"].min() == 4


def test_a_failed_build_leaves_nothing(tmp_path, texts):
    texts[2].write_bytes(b"good until here \xff and then not")
    for tokenizer in ("byte", "char"):
        with pytest.raises(UserError, match=r"2\.txt: not UTF-8"):
            build_corpus(texts, tmp_path / "out", tokenizer)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in texts}


def test_a_build_that_was_killed_leaves_nothing_to_the_next(tmp_path, texts):
    code = "import os, sys, pathlib; from genjax.data import corpus; corpus._write = lambda *_: os._exit(1)\n"
    code += "corpus.build_corpus([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]))"
    out = tmp_path / "made" / "out"
    subprocess.run([sys.executable, "-c", code, texts[3], out], check=False)
    assert [path.name.startswith(".out.partial-") for path in out.parent.iterdir()] == [True]
    build_corpus(texts, out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


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
        (lambda out: (out / "corpus.json").write_text("{}"), "version is missing: .* needs a whole number"),
        (lambda out: (out / "corpus.json").write_text("[1"), r"corpus\.json: not readable as JSON"),
        (lambda out: (out / "corpus.json").write_text("[" * 100_000), "nested too deeply"),
        (lambda out: edit(out, train="many"), 'train is "many", and must be a whole number'),
        (lambda out: edit(out, train=-5), "instead of -10"),
        (lambda out: edit(out, colour=1), "colour is a field that"),
        (lambda out: edit(out, version=2), "version 2"),
        (lambda out: edit(out, dtype="float32"), "float32"),
        (lambda out: edit(out, dtype=[]), r"dtype is \[\], and must be one of"),
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
