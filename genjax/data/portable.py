"""A tokenizer as Hugging Face's libraries read it."""

from genjax.data.byte_pairs import BYTE_OF, END_OF_TEXT, byte_level
from genjax.data.hub_tokenizers import HubTokenizer
from genjax.data.pieces import Backed
from genjax.data.tokenizers import ByteTokenizer, Tokenizer
from genjax.data.word_pieces import SPECIAL, WordPieceTokenizer

__all__ = ["portable", "special_tokens"]


def portable(tokenizer: Tokenizer) -> str | None:
    """The text of a tokenizer.json with the same ids; None for characters, which have no equal there.

    Bytes are byte pairs that no pair was merged of.
    """
    if isinstance(tokenizer, Backed):
        return tokenizer.backend.to_str()
    if not isinstance(tokenizer, ByteTokenizer):
        return None
    import tokenizers

    ids = dict(BYTE_OF)
    if tokenizer.end_of_text is not None:
        ids[END_OF_TEXT] = tokenizer.end_of_text
    backend = byte_level(tokenizers.models.BPE(ids, []))
    if tokenizer.end_of_text is not None:
        backend.add_special_tokens([END_OF_TEXT])
    return backend.to_str()


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """The tokens that no text has, under the names of tokenizer_config.json."""
    if isinstance(tokenizer, WordPieceTokenizer):
        return SPECIAL
    if isinstance(tokenizer, HubTokenizer):
        return {} if tokenizer.end is None else {"eos_token": tokenizer.end}
    return {} if tokenizer.end_of_text is None else dict.fromkeys(("bos_token", "eos_token"), END_OF_TEXT)
