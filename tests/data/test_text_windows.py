import itertools

import numpy as np
import pytest

from genjax.data import load, train_batches, validation_batches
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import Tokens

TEXT = "Ein Jäger längs der Äcker.\n" * 40 + "The quick brown fox\r\n" * 40


@pytest.fixture
def path(tmp_path):
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    return str(tmp_path / "text.txt")


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe:300"])
def test_the_split_is_by_characters_and_windows_are_consecutive(path, tokenizer):
    dataset = load(Data(path=path, tokenizer=tokenizer, context=16, validation=0.25))
    coder, cut = dataset.tokenizer, round(len(TEXT) * 0.75)
    train, held = coder.encode(TEXT[:cut]), coder.encode(TEXT[cut:])
    assert coder.decode(dataset.train.tokens_N) == TEXT[:cut]
    assert dataset.spec.fields == {"tokens": Tokens((16,), coder.vocabulary, shifted=True)}
    assert dataset.spec.train_examples == (len(train) - 1) // 16
    assert dataset.spec.validation_examples == (len(held) - 1) // 16

    windows = {train[start : start + 17].tobytes() for start in range(len(train) - 16)}
    for batch in itertools.islice(train_batches(dataset, 8, 0), 4):
        assert batch["tokens"].shape == (8, 17) and batch["tokens"].dtype == np.int32
        assert all(row.tobytes() in windows for row in batch["tokens"])

    batches = list(validation_batches(dataset, 4))
    rows = np.concatenate([batch["tokens"][batch["valid"]] for batch in batches])
    covered = dataset.spec.validation_examples * 16
    assert len(rows) == dataset.spec.validation_examples
    np.testing.assert_array_equal(rows[:, :-1].ravel(), held[:covered])
    np.testing.assert_array_equal(rows[:, 1:].ravel(), held[1 : covered + 1])
    counted = sum(batch["bytes"][batch["valid"]].sum() for batch in batches)
    assert counted == sum(len(coder.pieces[i]) for i in held[1 : covered + 1])
    assert batches[0]["bytes"].dtype == np.int32


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe:300"])
def test_a_text_without_line_breaks_says_what_it_starts_with(tmp_path, tokenizer):
    (tmp_path / "text.txt").write_text("quick brown foxes jump over lazy dogs " * 40)
    dataset = load(Data(path=str(tmp_path / "text.txt"), tokenizer=tokenizer, context=8))
    end = dataset.spec.fields["tokens"].end
    assert end == dataset.train.tokens_N[0] and dataset.tokenizer.decode([end])[0] == "q"


def test_every_offset_is_drawn(tmp_path):
    (tmp_path / "short.txt").write_text("abcdefghijklmnopqrst")
    dataset = load(Data(path=str(tmp_path / "short.txt"), context=3, validation=0.3))
    first = {int(row[0]) - ord("a") for row in next(train_batches(dataset, 500, 0))["tokens"]}
    assert first == set(range(14 - 3))


def test_text_shorter_than_the_context_says_the_numbers(path):
    with pytest.raises(UserError, match=r"validation split has 229 tokens, but --data\.context 300 needs 301"):
        load(Data(path=path, tokenizer="char", context=300, validation=229 / len(TEXT)))
    with pytest.raises(UserError, match="training split"):
        load(Data(path=path, context=10_000))


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a photograph", b"zeros \0 in between"])
def test_other_files_are_refused_with_what_is_accepted(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"photo\.jpg: not UTF-8 text; .* folder of images, \."):
        load(Data(path=str(tmp_path / "photo.jpg")))


def test_an_empty_text(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    for tokenizer in ("byte", "char", "bpe:300"):
        with pytest.raises(UserError, match="0 tokens"):
            load(Data(path=str(tmp_path / "empty.txt"), tokenizer=tokenizer))


def test_pydoc():
    dataset = load(Data(source="pydoc", tokenizer="char", context=32))
    assert dataset.spec.train_examples > 10_000
    text = dataset.tokenizer.decode(dataset.train.tokens_N)
    assert "assert" in text[:500] and "lambda" in text
