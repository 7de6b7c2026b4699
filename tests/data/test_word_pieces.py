"""BERT's pieces of words: what they are, their files, those that contradict themselves, and transformers' own."""

import json

import numpy as np
import pytest

from genjax.data import find_tokenizer, load_tokenizer, make_tokenizer
from genjax.data.pieces import CHUNK
from genjax.data.portable import portable
from genjax.data.word_pieces import WordPieceTokenizer
from genjax.errors import UserError

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] , . ! ' the un ##aff ##able cafe don t 3 ##1 ##4 東 京".split()
TEXT = "The  unaffable\n Café, 314\t[MASK]!"
WANTED = "the un ##aff ##able cafe , 3 ##1 ##4 [UNK] [UNK] [UNK] !".split()  # brackets and "mask" are no pieces


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tmp_path


def spelled(tokenizer, text):
    return [PIECES[i] for i in tokenizer.encode(text)]


def test_a_text_in_pieces(folder):
    tokenizer = make_tokenizer(f"bert:{folder}", "")
    assert spelled(tokenizer, TEXT) == WANTED and spelled(tokenizer, "東京") == ["東", "京"]
    assert (tokenizer.vocabulary, tokenizer.end_of_text) == (len(PIECES), PIECES.index("[SEP]"))
    assert tokenizer.decode(tokenizer.encode("unaffable cafe")) == "unaffable cafe"
    assert tokenizer.decode([PIECES.index("[MASK]"), 99]) == "[MASK]\ufffd"
    assert [ids.tolist() for ids in tokenizer.encode_all(["the", ""])] == [[9], []]


def test_capitals_count_where_the_folder_says_so(folder):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    tokenizer = find_tokenizer(folder)
    assert isinstance(tokenizer, WordPieceTokenizer) and spelled(tokenizer, "The the") == ["[UNK]", "the"]


def test_saved_and_loaded(folder, tmp_path):
    tokenizer = find_tokenizer(folder)
    tokenizer.save(tmp_path)
    loaded = find_tokenizer(tmp_path)  # tokenizer.json, not vocab.txt
    assert loaded.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert loaded.fingerprint == tokenizer.fingerprint and loaded.end_of_text == tokenizer.end_of_text


def test_chunks_do_not_change_the_pieces(folder):
    tokenizer = find_tokenizer(folder)
    text = TEXT.replace("[", "x\n") * (3 * CHUNK // len(TEXT))
    whole = tokenizer.backend.encode(text, add_special_tokens=False).ids
    np.testing.assert_array_equal(tokenizer.encode(text), whole)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda saved: saved["model"].update(unk_token="?"), r"unk_token is \?, and BERT's is \[UNK\]"),
        (lambda saved: saved["model"].update(vocab=[]), "vocab, an object"),
        (lambda saved: saved["model"]["vocab"].update(the=77), "ids are not 0, 1, 2"),
        (lambda saved: saved["model"]["vocab"].update(the="x"), "ids are not 0, 1, 2"),
        (lambda saved: saved.update(normalizer={"type": "NFC"}), "its normalizer is .*, and BERT's is BertNormalizer"),
        (lambda saved: saved.update(pre_tokenizer=None), "its pre_tokenizer is None"),
        (lambda saved: saved["normalizer"].update(lowercase="yes"), "lowercase is yes, and must be true or false"),
        (lambda saved: saved["model"].update(vocab={"a": 0}), r"its vocabulary has no \[UNK\]"),
    ],
)
def test_files_that_contradict_themselves(folder, tmp_path, damage, words):
    find_tokenizer(folder).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    saved = json.loads(path.read_text())
    damage(saved)
    path.write_text(json.dumps(saved))
    with pytest.raises(UserError, match=rf"tokenizer\.json: .*{words}"):
        load_tokenizer(tmp_path)


def test_the_lines_of_a_vocabulary_may_end_as_those_of_windows_do(folder):
    (folder / "vocab.txt").write_bytes("\r\n".join([*PIECES, ""]).encode())
    assert spelled(find_tokenizer(folder), TEXT) == WANTED


def test_a_vocabulary_that_is_not_berts(folder):
    (folder / "vocab.txt").write_text("a\nb\na\n")
    with pytest.raises(UserError, match=r"vocab\.txt: a piece stands in it twice"):
        find_tokenizer(folder)
    with pytest.raises(UserError, match=r"vocab\.txt: cannot be read"):
        make_tokenizer(f"bert:{folder / 'nowhere'}", "")


@pytest.mark.peers
def test_it_is_that_of_transformers_in_both_directions(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.BertTokenizer(vocab=str(folder / "vocab.txt")), find_tokenizer(folder)
    text = TEXT.replace("[MASK]", "東京")  # they read it as the token, we as text
    assert ours.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"]
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_tokenizer(tmp_path / "theirs")
    assert again.encode(text).tolist() == ours.encode(text).tolist() and again.fingerprint == ours.fingerprint
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "tokenizer.json").write_text(portable(ours))
    loaded = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "ours" / "tokenizer.json"))
    assert loaded(text)["input_ids"] == theirs(text)["input_ids"]
