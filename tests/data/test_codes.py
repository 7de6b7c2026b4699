"""Codes in pieces on disk."""

import json

import numpy as np
import pytest

from genjax import data
from genjax.data import codes
from genjax.data.tokenizers import make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import Codes, DataSpec, Image, Label, Tokens

CODE = Codes((4,), 9, grid=(2, 2), image=Image(4, 4, 1))
SPEC = DataSpec({"tokens": CODE, "label": Label(3), "caption": Tokens((5,), 257, ragged=True, end=256)})


def batches(count, seed):
    random = np.random.default_rng(seed)
    for _ in range(count):
        rows = {name: array for name, array in SPEC.random_batch(3, random.integers(99)).items() if name != "index"}
        yield rows


def saved(folder, most=200):
    tokenizer = make_tokenizer("byte", [], end=True)
    return codes.save(folder, {"train": batches(5, 0), "validation": batches(2, 1)}, lambda: SPEC, tokenizer, most)


def test_pieces_are_read_as_they_were_written(tmp_path):
    folder = saved(tmp_path / "codes")
    assert len(list(folder.glob("train-tokens-*.npy"))) > 1
    dataset = data.load(Data(path=str(folder)))
    assert dataset.spec == DataSpec(SPEC.fields, 15, 6) and dataset.tokenizer.end_of_text == 256
    whole = {k: np.concatenate([b[k] for b in batches(5, 0)]) for k in ("tokens", "label", "caption", "caption_length")}
    ids = np.array([14, 0, 7, 7, 3])
    got = dataset.train.gather(ids)
    assert got.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(got[name], array[ids])
        assert got[name].dtype == np.int32
    assert len(list(data.split_batches(dataset, "validation", 4))) == 2


def test_a_folder_is_written_anew_but_nothing_else_is_overwritten(tmp_path):
    folder = saved(tmp_path / "codes")
    saved(folder, most=10**6)
    assert len(list(folder.glob("train-tokens-*.npy"))) == 1 and data.load(Data(path=str(folder)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("...")
    with pytest.raises(UserError, match="holds no codes: choose another name"):
        saved(tmp_path / "mine")


def test_what_fails_leaves_the_old_codes_and_other_files(tmp_path):
    def failing():
        yield from batches(3, 2)
        raise UserError("beyond float16")

    folder = saved(tmp_path / "codes")
    (folder / "notes.txt").write_text("mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(UserError, match="beyond float16"):
        codes.save(folder, {"train": failing(), "validation": batches(2, 1)}, lambda: SPEC, most=1)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    codes.save(folder, {"train": batches(1, 0), "validation": batches(1, 1)}, lambda: SPEC)
    assert (folder / "notes.txt").exists() and not (folder / "tokenizer.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]


def test_damage_is_one_line(tmp_path):
    folder = saved(tmp_path / "codes", most=10**6)
    with pytest.raises(UsageError, match=r"--data\.flip changes images"):
        data.load(Data(path=str(folder), flip=True))
    piece = folder / "train-tokens-00000.npy"
    array = np.load(piece)
    np.save(piece, array + 9)
    dataset = data.load(Data(path=str(folder)))
    with pytest.raises(UserError, match=r"`tokens` holds the id \d+, and its ids are from 0 to 8"):
        dataset.train.gather(np.arange(3))
    np.save(piece, array[:4])
    with pytest.raises(UserError, match=r"must be numbers of the shape \(15, 4\)"):
        data.load(Data(path=str(folder)))
    piece.write_bytes(b"")
    with pytest.raises(UserError, match=r"not a readable \.npy file"):
        data.load(Data(path=str(folder)))
    piece.unlink()
    with pytest.raises(UserError, match=r"not a readable \.npy file"):
        data.load(Data(path=str(folder)))
    for pieces, message in (
        ({"train": [1]}, "must say the rows of each piece"),
        ({"train": 5, "validation": [1]}, "pieces.train is 5, and must be a list"),
        (None, "pieces is null, and must be an object"),
    ):
        (folder / "codes.json").write_text(json.dumps({"pieces": pieces}))
        with pytest.raises(UserError, match=message):
            data.load(Data(path=str(folder)))
