"""Tokenizers as a tokenizer.json describes them: SentencePiece's unigrams and byte pairs, Llama 3's, damaged ones."""

import json

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from genjax.data import find_tokenizer, load_tokenizer, make_tokenizer
from genjax.data.hub_tokenizers import HubTokenizer
from genjax.data.portable import portable, special_tokens
from genjax.errors import UserError

TEXT = "the cat sat</s> on\nthé mat"


def unigram():
    """As T5 has it: line breaks are spaces, what is in no piece is <unk>."""
    pieces = ["<pad>", "</s>", "<unk>", "▁the", "▁", "▁cat", "at", "s", "m", "on", "t", "h", "e", "/", "<", ">"]
    backend = tokenizers.Tokenizer(models.Unigram([(p, -float(n)) for n, p in enumerate(pieces)], unk_id=2))
    backend.normalizer = normalizers.Sequence([normalizers.Replace("\n", " "), normalizers.Strip()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return backend


def characters():
    """As Llama 2 has it: byte pairs of characters, and bytes of those that are in no piece."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁thecasonm</>", "▁t", "▁th", "at"]
    ids = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    merges = [("▁", "t"), ("▁t", "h"), ("a", "t")]
    backend = tokenizers.Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    strip = decoders.Strip(content=" ", left=1)
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return backend


def split_bytes():
    """As Llama 3 has it: byte pairs of bytes, words split by a pattern of its own."""
    backend = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(r"\d{1,3}| ?\w+|\s+|[^\s\w]+"), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    backend.decoder = decoders.ByteLevel()
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=level.alphabet(), show_progress=False
    )
    backend.train_from_iterator([TEXT], trainer)
    return backend


KINDS = {"unigram": unigram, "characters": characters, "bytes": split_bytes}


def written(folder, backend, **about):
    (folder / "tokenizer.json").write_text(backend.to_str())
    if about:
        (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_the_files_and_come_back_as_text(kind, tmp_path):
    backend = KINDS[kind]()
    tokenizer = make_tokenizer(f"hf:{written(tmp_path, backend)}", "")
    assert isinstance(tokenizer, HubTokenizer)
    backend.encode_special_tokens = True  # a text that says </s> does not end there, but in unigrams
    assert tokenizer.encode(TEXT).tolist() == backend.encode(TEXT, add_special_tokens=False).ids
    assert [ids.tolist() for ids in tokenizer.encode_all([TEXT, ""])] == [tokenizer.encode(TEXT).tolist(), []]
    lossy = {"unigram": "the cat sat on th mat"}  # no </s>, which is a piece of it, no line break, and é is unknown
    assert tokenizer.decode(tokenizer.encode(TEXT)) == lossy.get(kind, TEXT)
    assert tokenizer.decode([tokenizer.end_of_text, 10**6]) == "\ufffd"
    assert tokenizer.byte_lengths.sum() == sum(map(len, tokenizer.pieces))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind, tmp_path):
    tokenizer = find_tokenizer(written(tmp_path, KINDS[kind](), eos_token={"content": "t"}))
    (tmp_path / "run").mkdir()
    tokenizer.save(tmp_path / "run")
    loaded = load_tokenizer(tmp_path / "run")
    assert loaded.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.end_of_text == tokenizer.end_of_text == tokenizer.backend.token_to_id("t")
    assert special_tokens(loaded) == {"eos_token": "t"} and json.loads(portable(loaded))["model"]


def test_the_end_of_text_is_the_usual_one_unless_the_folder_says_another(tmp_path):
    assert find_tokenizer(written(tmp_path, unigram())).end_of_text == 1
    assert find_tokenizer(written(tmp_path, unigram(), eos_token=None)).end_of_text is None
    for wrong, words in (("<eot>", "has no <eot>, which ends a text"), (7, "eos_token .* is 7")):
        with pytest.raises(UserError, match=rf"tokenizer\.json: .*{words}"):
            find_tokenizer(written(tmp_path, unigram(), eos_token=wrong))


def test_a_long_text_is_not_cut(tmp_path):
    tokenizer = find_tokenizer(written(tmp_path, characters()))
    text = "at\nthe " * 20000
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda saved: saved.update(decoder=None), "its decoder is None; known are ByteLevel"),
        (lambda saved: saved.update(decoder={"type": "CTC"}), "its decoder is CTC"),
        (lambda saved: saved["model"].update(vocab=[["a", "b"]]), "not a readable tokenizer"),
        (lambda saved: saved["model"].update(unk_id=99), "not a readable tokenizer"),
        (lambda saved: saved.update(decoder=json.loads(split_bytes().to_str())["decoder"]), "it is not byte-level"),
        (lambda saved: saved.update(normalizer={"type": "Dream"}), "not a readable tokenizer"),
    ],
)
def test_damaged_files(tmp_path, damage, words):
    saved = json.loads(unigram().to_str())
    damage(saved)
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match=rf"tokenizer\.json: {words}"):
        find_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(UserError, match=r"hf:.*: no tokenizer\.json in that folder"):
        make_tokenizer(f"hf:{tmp_path}", "")


@pytest.mark.peers
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_the_same_ids(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = find_tokenizer(written(tmp_path, KINDS[kind]()))
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = TEXT.replace("</s>", "")  # they read it as the token, we as text
    assert ours.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"]
