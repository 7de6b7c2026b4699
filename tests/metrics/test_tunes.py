"""ABC notation: what a tune says, what is none, bars that add up; the shares over a set of samples; how it sounds."""

import io
import wave
from fractions import Fraction

import numpy as np
import pytest

from genjax.metrics import METRICS
from genjax.metrics.abc_notation import Note, parse
from genjax.runs.sheets import save_outputs
from genjax.runs.sound import MOST, RATE, WHOLE, wav
from genjax.spec import Tokens

HEAD = "M:2/4\nL:1/8\nK:G\n"
TUNE = HEAD + "d2 | GGAB | c^cc/2d/2-d | z2B,2 |\nd'4"


def test_what_a_tune_says():
    tune = parse(TUNE)
    assert tune.meter == Fraction(1, 2) and tune.adds_up
    assert tune.bars == [Fraction(1, 4), *[Fraction(1, 2)] * 4]
    names = [74, 67, 67, 69, 71, 72, 73, 73, 74, 74, None, 59, 86]  # the second c of its bar is sharp, and the third
    assert [note.pitch for note in tune.notes] == names
    assert tune.notes[8] == Note(74, Fraction(1, 16), tied=True)


@pytest.mark.parametrize(
    ("key", "notes", "pitches"),
    [
        ("D", "FfCc", [66, 78, 61, 73]),
        ("Bb", "BEb", [70, 63, 82]),
        ("Dm", "B=BB", [70, 71, 71]),
        ("C", "_E__E^^F|E", [63, 62, 67, 64]),
    ],
)
def test_keys_and_signs(key, notes, pitches):
    assert [note.pitch for note in parse(f"M:none\nL:1/4\nK:{key}\n{notes}").notes] == pitches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("M:2/4\nK:G\nGG", "no field L"),
        (TUNE.replace("2/4", "2/5"), "M:2/5 is no meter"),
        (TUNE.replace("1/8", "1/7"), "L:1/7 is no length"),
        (TUNE.replace("K:G", "K:H"), "K:H is no key"),
        (HEAD + "GG | h", "'h' is no note and no bar"),
        (HEAD + "GG\nK:G", "not at the top"),
        (HEAD + "^z", r"'\^z': a rest has no pitch"),
        (HEAD, "no notes"),
    ],
)
def test_what_is_no_tune(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("bars", "adds_up"),
    [
        ("G4 | G2A2 | B4", True),
        ("G2 | G2A2\nB4 | d2", True),  # a line that ends with a full bar
        ("G2\nG2 | G2A2 | B4", True),  # and one that ends within
        ("G4 | G2A3 | B4", False),
        ("G4 | G2 | B4", False),
        ("G4A | G4 | B4", False),
        ("G4 | B4", False),
    ],
)
def test_bars_that_add_up(bars, adds_up):
    assert parse(HEAD + bars).adds_up == adds_up


class Bytes:
    def decode(self, ids):
        return bytes(ids).decode().replace("\0", "")


def batch(*rows):
    """Rows of texts, in the middle of which 0 ends one and begins another."""
    ids = [[0, *b"\0".join(text.encode() for text in row), 0] for row in rows]
    tokens = np.zeros((len(ids), max(map(len, ids)) + 2), np.int32)
    for row, text in zip(tokens, ids):
        row[: len(text)] = text
    return {"tokens": tokens, "tokens_length": np.array([len(text) for text in ids], np.int32)}


FIELD = Tokens((64,), 256, ragged=True, end=0, notation="abc")


def test_shares_of_samples_and_of_the_data():
    metric = METRICS["tunes"]("tokens", FIELD, Bytes())
    metric.observe(batch((TUNE, TUNE)))  # texts that share a row
    free = TUNE.replace("2/4", "none")
    metric.update(batch((TUNE,), (free,)))
    metric.update(batch((HEAD + "G4 | A | G4",), ("nonsense",)))
    values = metric.result()
    assert values["tunes_parse"] == 3 / 4 and values["bars_add_up"] == 1 / 3
    assert values["tunes_parse_of_data"] == values["bars_add_up_of_data"] == 1
    assert 0 < values["tunes_parse_se"] < 0.5


def heard(sound):
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15


def test_how_it_sounds():
    sound_T = heard(wav(parse("M:none\nL:1/1\nK:C\nA z c-c")))
    assert len(sound_T) == pytest.approx(4 * WHOLE * RATE, abs=2) and 0.2 < np.abs(sound_T).max() <= 1
    tone, rest, other, tied = np.split(sound_T[: len(sound_T) // 4 * 4], 4)
    assert not rest[5:].any() and np.abs(tied).max() < np.abs(other).max() / 5  # it is not struck again
    for part, hertz in ((tone, 440), (other, 523.25)):
        loudest = np.abs(np.fft.rfft(part)).argmax() * RATE / len(part)
        assert loudest == pytest.approx(hertz, abs=1)
    assert len(heard(wav(parse("M:none\nL:1/1\nK:C\n" + "A" * 90)))) == pytest.approx(MOST * RATE, abs=2)


def test_the_first_tunes_of_a_sheet_are_played(tmp_path):
    outputs = batch(("nonsense",), (TUNE,), (TUNE,), (TUNE,), (TUNE,))
    files = save_outputs(tmp_path / "sheet.txt", outputs, {"tokens": FIELD}, tokenizer=Bytes())
    assert [file.name for file in files] == ["sheet.txt", "sheet-2.wav", "sheet-3.wav", "sheet-4.wav"]
    prose = save_outputs(tmp_path / "prose.txt", outputs, {"tokens": Tokens((64,), 256)}, tokenizer=Bytes())
    assert [file.name for file in prose] == ["prose.txt"]
