"""Pieces of words as BERT has them (WordPiece), computed by Hugging Face's `tokenizers`: read from BERT's files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genjax.data.pieces import ABOUT, Backed, require_numbered
from genjax.errors import UserError
from genjax.files import read_json, read_lines

__all__ = ["SPECIAL", "VOCABULARY", "WordPieceTokenizer", "bert", "saved_word_pieces"]

VOCABULARY = "vocab.txt"
SPECIAL = {  # transformers' names of tokens that no text has
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
INSIDE = "##"  # before a piece that does not begin a word
CLEANING = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}


class WordPieceTokenizer(Backed):
    """BERT's pieces; `[SEP]` closes a text. A piece that begins a word stands for a space and its letters.

    What `encode` drops (capitals, accents, kinds of white space) `decode` cannot give back.
    """

    def __init__(self, ids: Mapping[str, Any], cleaning: Mapping[str, bool | None] = CLEANING):
        """`cleaning`: how a text is prepared, under the names of `tokenizers`' BertNormalizer.

        Raises UserError where the ids are not 0, 1, 2, ..., or a special token has none.
        """
        import tokenizers

        require_numbered(ids)
        if lacking := [token for token in SPECIAL.values() if token not in ids]:
            raise UserError(f"its vocabulary has no {lacking[0]}, which BERT's has")
        backend = tokenizers.Tokenizer(tokenizers.models.WordPiece(dict(ids), unk_token=SPECIAL["unk_token"]))
        backend.normalizer = tokenizers.normalizers.BertNormalizer(**cleaning)
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        backend.decoder = tokenizers.decoders.WordPiece()
        sep, cls = ((SPECIAL[name], ids[SPECIAL[name]]) for name in ("sep_token", "cls_token"))
        backend.post_processor = tokenizers.processors.BertProcessing(sep, cls)
        backend.add_special_tokens(list(SPECIAL.values()))
        names = sorted(ids, key=ids.__getitem__)
        super().__init__([f" {n}".removeprefix(f" {INSIDE}").encode() for n in names], backend)
        self.end_of_text = ids[SPECIAL["sep_token"]]

    def decode(self, ids: Iterable[int]) -> str:
        return super().decode(ids).removeprefix(" ")


def bert(folder: Path) -> WordPieceTokenizer:
    """From vocab.txt, a piece in each line; tokenizer_config.json may say that capitals count.

    Raises UserError where it is missing, or is not BERT's.
    """
    pieces = read_lines(folder / VOCABULARY)
    about = read_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
    try:
        if len(set(pieces)) < len(pieces):
            raise UserError("a piece stands in it twice")
        cleaning = CLEANING | {"lowercase": about.get("do_lower_case", True)}
        return WordPieceTokenizer({piece: n for n, piece in enumerate(pieces)}, _checked(cleaning))
    except UserError as error:
        raise UserError(f"{folder / VOCABULARY}: {error}") from None


def saved_word_pieces(saved: Mapping[str, Any]) -> WordPieceTokenizer:
    """From what a tokenizer.json holds. It is built anew: a limit of length, and what fills rows up, are left out."""
    model, cleaning = saved["model"], saved.get("normalizer")
    fixed = {"unk_token": SPECIAL["unk_token"], "continuing_subword_prefix": INSIDE, "max_input_chars_per_word": 100}
    if odd := [name for name, value in fixed.items() if model.get(name, value) != value]:
        raise UserError(f"{odd[0]} is {str(model[odd[0]])[:20]}, and BERT's is {fixed[odd[0]]}")
    if not isinstance(model.get("vocab"), dict):
        raise UserError("its model needs vocab, an object")
    for name, kind in (("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")):
        found = saved.get(name)
        if not isinstance(found, dict) or found.get("type") != kind:
            raise UserError(f"its {name} is {str(found)[:40]}, and BERT's is {kind}")
    return WordPieceTokenizer(model["vocab"], _checked({name: cleaning.get(name, CLEANING[name]) for name in CLEANING}))


def _checked(cleaning: dict[str, Any]) -> dict[str, bool | None]:
    for name, value in cleaning.items():
        if value not in (True, False) and not (value is None and name == "strip_accents"):
            raise UserError(f"{name} is {str(value)[:20]}, and must be true or false")
    return cleaning
