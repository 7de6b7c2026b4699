"""A text that is shown while it is drawn is the text that is drawn."""

import dataclasses

import jax
import numpy as np
import pytest
from systems import engine

from genjax.data.tokenizers import ByteTokenizer
from genjax.errors import UsageError
from genjax.evaluation.sampling import draw
from genjax.evaluation.streaming import streamed
from genjax.models import GPT

LETTERS = "aé\n"


class Letters(ByteTokenizer):
    """Every id is some byte of LETTERS, so that some characters take two tokens."""

    def decode(self, ids) -> str:
        known = LETTERS.encode()
        return bytes(known[i % len(known)] for i in ids).decode(errors="replace")


def given(count: int = 1) -> dict[str, np.ndarray]:
    return {
        "index": np.arange(count, dtype=np.int32),
        "prompt": np.tile(np.int32([0, 1, 2]), (count, 1)),
        "prompt_length": np.full(count, 3, np.int32),
        "stop": np.full((count, 1), -1, np.int32),
    }


def test_the_pieces_are_the_text():
    drawer, pieces = engine("gpt"), []
    state, options = drawer.init(), GPT.Options(max_new_tokens=6)
    whole = draw(drawer, state, given(), seed=3, options=options)["tokens"][0]
    options = dataclasses.replace(options, stream=True)
    streamed(drawer, state, given(), Letters(), pieces.append, seed=3, options=options)
    assert "".join(pieces) == Letters().decode(whole).rstrip("\ufffd") and len(pieces) > 3


@pytest.mark.parametrize(
    ("count", "devices", "tokenizer", "message"),
    [(2, 1, Letters(), "one text"), (1, 2, Letters(), "one device"), (1, 1, None, "no tokenizer")],
)
def test_what_cannot_be_shown(count, devices, tokenizer, message):
    if len(jax.devices()) < devices:
        pytest.skip("needs two devices")
    drawer = engine("gpt", devices)
    options = GPT.Options(stream=True)
    with pytest.raises(UsageError, match=message):
        streamed(drawer, None, given(count), tokenizer, print, seed=0, options=options)


def test_beams_have_nothing_to_show():
    with pytest.raises(UsageError, match="at the end only"):
        GPT.Options(beams=2, stream=True)
