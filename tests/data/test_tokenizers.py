import json
import os
from pathlib import Path

import numpy as np
import pytest

from genjax.data import load_tokenizer, make_tokenizer
from genjax.data.byte_pairs import END_OF_TEXT, byte_characters
from genjax.data.pieces import CHUNK
from genjax.errors import UsageError, UserError

TEXT = "Naïve café, 東京 and 🦊🦊!\n\n  It's 3.14 times   the fox's\tden.\n" * 20
HARD = ["", " ", "a", "\n\n \n x", "don't  stop\n", "\u00a0 \u2003x\x1c\ny", "é\u0301👩‍🚀", END_OF_TEXT, TEXT]


@pytest.fixture(scope="module", params=["byte", "char", "bpe:280", "bpe:400"])
def tokenizer(request):
    return make_tokenizer(request.param, TEXT + "".join(HARD))


def test_text_survives(tokenizer):
    for text in HARD:
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32 and ids.ndim == 1
        assert tokenizer.decode(ids) == text
        assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
        assert ids.size == 0 or (ids.min() >= 0 and ids.max() < tokenizer.vocabulary)
        assert tokenizer.end_of_text is None or tokenizer.end_of_text not in ids
    assert tokenizer.byte_lengths.shape == (tokenizer.vocabulary,)


def test_every_id_can_be_decoded(tokenizer):
    rng = np.random.default_rng(0)
    assert isinstance(tokenizer.decode(rng.integers(0, tokenizer.vocabulary, 500)), str)
    assert isinstance(tokenizer.decode(range(tokenizer.vocabulary)), str)
    a = tokenizer.encode("a")[0]
    assert tokenizer.decode([a, tokenizer.vocabulary, -1, a]) == "a\ufffd\ufffda"


def test_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for text in HARD:
        np.testing.assert_array_equal(loaded.encode(text), tokenizer.encode(text))
        assert loaded.decode(tokenizer.encode(text)) == text
    assert (loaded.vocabulary, loaded.end_of_text) == (tokenizer.vocabulary, tokenizer.end_of_text)
    np.testing.assert_array_equal(loaded.byte_lengths, tokenizer.byte_lengths)


def test_byte_and_char_ids():
    assert make_tokenizer("byte", "").encode("é").tolist() == [0xC3, 0xA9]
    assert make_tokenizer("byte", "").decode([0xC3, 65]) == "\ufffdA"
    char = make_tokenizer("char", ["ba", "cab"])
    assert (char.vocabulary, char.encode("cab").tolist()) == (3, [2, 0, 1])
    with pytest.raises(UserError, match="'z' does not occur"):
        char.encode("abz")


@pytest.mark.parametrize("kind", ["byte", "char", "bpe:300"])
def test_a_tokenizer_may_have_an_end_of_text(kind, tmp_path):
    made = make_tokenizer(kind, TEXT, end=True)
    made.save(tmp_path)
    for coder in (made, load_tokenizer(tmp_path)):
        assert coder.decode([*coder.encode("café"), coder.end_of_text]) == "café"
        assert coder.end_of_text < coder.vocabulary == len(coder.pieces) and coder.byte_lengths[coder.end_of_text] == 0
        each = coder.encode_all(["café", "", "\n"])
        assert [ids.tolist() for ids in each] == [coder.encode(text).tolist() for text in ("café", "", "\n")]
    assert make_tokenizer("byte", "").end_of_text is None


def test_bpe_merges_and_ends_texts():
    bpe = make_tokenizer("bpe:300", TEXT)
    assert 257 < bpe.vocabulary <= 300
    assert len(bpe.encode(TEXT)) < len(TEXT.encode()) / 1.5
    assert bpe.byte_lengths[bpe.end_of_text] == 0 and bpe.decode([bpe.end_of_text]) == ""
    assert bpe.decode(bpe.encode("unseen: Ω")) == "unseen: Ω"


def test_chunks_do_not_change_the_tokens():
    line = "some words \nand  more\n\n lines,\nhere\r\nand there \n"
    text = line * (3 * CHUNK // len(line))
    bpe = make_tokenizer("bpe:290", line)
    whole = bpe.backend.encode(text, add_special_tokens=False).ids
    np.testing.assert_array_equal(bpe.encode(text), whole)


@pytest.mark.parametrize(
    "spec", ["word", "bpe", "bpe:", "bpe:x", "bpe:256", "bpe:-300", "gpt2", "gpt2:", "bert", "byte:3"]
)
def test_unknown_specs_name_the_choices(spec):
    with pytest.raises(UsageError, match="choose byte, char, bpe:SIZE, gpt2:FOLDER, bert:FOLDER or hf:FOLDER"):
        make_tokenizer(spec, "abc")


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "cannot be read"),
        ("", "not readable as JSON"),
        ("\xff", "not UTF-8"),
        ("{}", "neither bytes nor characters"),
        ("[1]", "must be a JSON object"),
        ("{" * 10, "not readable as JSON"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"kind": "char"}', "characters must be a text"),
        ('{"kind": "char", "characters": 5}', "characters must be a text"),
        ('{"kind": "char", "characters": "aa"}', "each once"),
        ('{"kind": "char", "characters": "\\ud800"}', "characters must be a text"),
        ('{"kind": "new"}', "kind is 'new'"),
        ('{"kind": "byte", "end": 1}', "end 1"),
        ('{"kind": "byte", "more": 1}', "'more' is a field"),
        ('{"model": {"type": "BPE"}}', "its decoder is None"),
    ],
)
def test_damaged_saves(tmp_path, content, words):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"tokenizer\.json: .*{words}"):
        load_tokenizer(tmp_path)


def _without_byte(saved):
    saved["model"]["vocab"]["new"] = saved["model"]["vocab"].pop("a")


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda saved: saved["model"].update(dropout=0.5), "dropout is set"),
        (lambda saved: saved.update(normalizer={"type": "NFC"}), "normalizer is set"),
        (lambda saved: saved["model"]["vocab"].update(a=0), "ids are not 0, 1, 2"),
        (lambda saved: saved["model"]["vocab"].update(a="x"), "ids are not 0, 1, 2"),
        (lambda saved: saved["model"]["vocab"].update(a=2**70), "ids are not 0, 1, 2"),
        (_without_byte, "no id for the byte 0x61"),
        (lambda saved: saved["model"].update(merges=[["a", "zzz"]]), "is not of two pieces"),
        (lambda saved: saved["model"].update(merges=[["a"], 7]), "is not of two pieces"),
        (lambda saved: saved["model"].update(vocab=[]), "vocab, an object"),
    ],
)
def test_byte_pairs_that_contradict_themselves(tmp_path, damage, words):
    make_tokenizer("bpe:300", "a man and a plan and a canal " * 9).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    saved = json.loads(path.read_text())
    damage(saved)
    path.write_text(json.dumps(saved))
    with pytest.raises(UserError, match=rf"tokenizer\.json: .*{words}"):
        load_tokenizer(tmp_path)


def test_what_is_no_character_is_refused(tokenizer):
    for text in ("\udcff", "a\ud800b"):
        with pytest.raises(UserError, match=r"has '\\ud(cff|800)', which is no character"):
            tokenizer.encode(text)
        with pytest.raises(UserError, match="which is no character"):
            tokenizer.encode_all(["a", text])


def test_a_tokenizer_is_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "tokenizer.json").symlink_to(tmp_path / "elsewhere")
    make_tokenizer("byte", "").save(tmp_path)
    assert (tmp_path / "elsewhere").read_text() == "mine" and load_tokenizer(tmp_path).vocabulary == 256


def test_gpt2_files_must_be_there_and_whole(tmp_path):
    with pytest.raises(UserError, match=r"encoder\.json is missing"):
        make_tokenizer(f"gpt2:{tmp_path}", "")
    (tmp_path / "encoder.json").write_text("{")
    with pytest.raises(UserError, match=r"vocab\.bpe is missing"):
        make_tokenizer(f"gpt2:{tmp_path}", "")
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n")
    with pytest.raises(UserError, match="not GPT-2's vocabulary"):
        make_tokenizer(f"gpt2:{tmp_path}", "")
    (tmp_path / "encoder.json").write_text(json.dumps({"a": 0, "b": 7}))
    with pytest.raises(UserError, match="ids are not 0, 1, 2"):
        make_tokenizer(f"gpt2:{tmp_path}", "")
    (tmp_path / "encoder.json").write_text(json.dumps({c: n for n, c in enumerate([*byte_characters(), "日"])}))
    with pytest.raises(UserError, match="not byte-level"):
        make_tokenizer(f"gpt2:{tmp_path}", "")


def test_gpt2_format(tmp_path):
    vocabulary = ["H", "e", "l", "o", "Ġ", "w", "ll", "Ġw", END_OF_TEXT]
    vocabulary += [character for character in byte_characters() if character not in vocabulary]
    (tmp_path / "encoder.json").write_text(json.dumps({token: n for n, token in enumerate(vocabulary)}))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nl l\nĠ w\n", encoding="utf-8")
    gpt2 = make_tokenizer(f"gpt2:{tmp_path}", "")
    assert gpt2.encode("Hello wo").tolist() == [0, 1, 6, 3, 7, 3]
    assert gpt2.decode([0, 1, 6, 3, 7, 3, 8]) == "Hello wo"
    assert (gpt2.vocabulary, gpt2.end_of_text) == (259, 8)


@pytest.fixture
def gpt2_folder():
    folder = Path(os.environ.get("GENJAX_REAL_DATA", "")) / "gpt2_bpe"
    if not folder.is_dir():
        pytest.skip("set GENJAX_REAL_DATA to a folder with gpt2_bpe/encoder.json and gpt2_bpe/vocab.bpe")
    return folder


def test_gpt2(gpt2_folder):
    gpt2 = make_tokenizer(f"gpt2:{gpt2_folder}", "")
    assert (gpt2.vocabulary, gpt2.end_of_text) == (50257, 50256)
    assert gpt2.encode("Hello world").tolist() == [15496, 995]
    for text in HARD:
        assert gpt2.decode(gpt2.encode(text)) == text


@pytest.mark.peers
def test_gpt2_is_that_of_transformers(gpt2_folder):
    transformers = pytest.importorskip("transformers")
    vocabulary = json.loads((gpt2_folder / "encoder.json").read_text(encoding="utf-8"))
    lines = (gpt2_folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    merges = [tuple(line.split()) for line in lines if line]
    theirs = transformers.GPT2Tokenizer(vocab=vocabulary, merges=merges)
    ours = make_tokenizer(f"gpt2:{gpt2_folder}", "")
    for text in HARD:
        if text != END_OF_TEXT:  # they read it as the token, we as text
            assert ours.encode(text).tolist() == theirs.encode(text)
