"""Tunes in ABC notation (the standard 2.1 of abcnotation.com): the part of it that a melody alone needs."""

import re
from fractions import Fraction
from typing import NamedTuple

__all__ = ["Note", "Tune", "parse"]

FIELD = re.compile(r"([A-Za-z]):[ \t]*(.*)")
METER = re.compile(r"([1-9]\d?)/(1|2|4|8|16|32)")
LENGTH = re.compile(r"1/(1|2|4|8|16|32)")
KEY = re.compile(r"([A-G])([#b]?) ?(m|min|maj)?")
NOTE = re.compile(
    r"(?P<sign>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-gz])(?P<octave>[,']*)(?P<times>[1-9]\d*)?(?P<parts>/+)?(?P<part>[1-9]\d*)?(?P<tie>-)?"
)
BAR = re.compile(r":?\|[|\]:]?|::")
SEMITONES = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11)))
FIFTHS = dict(zip("FCGDAEB", range(-1, 6)))  # sharps of the major key
SIGNS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
MIDDLE_C = 60


class Note(NamedTuple):
    pitch: int | None  # of MIDI, 60 is the middle C; None is a rest
    length: Fraction  # of a whole note
    tied: bool = False  # it sounds on in the next one


class Tune(NamedTuple):
    meter: Fraction | None  # of a bar, in whole notes; None where it is free
    notes: list[Note]
    bars: list[Fraction]  # the lengths of all bars

    @property
    def adds_up(self) -> bool:
        """Whether each bar between the first and the last is as long as the meter says, and those are no longer."""
        if self.meter is None or len(self.bars) < 3:
            return False
        ends = self.bars[0], self.bars[-1]
        return all(bar == self.meter for bar in self.bars[1:-1]) and max(ends) <= self.meter


def parse(text: str) -> Tune:
    """The tune of a text: the fields M (meter), L (unit length) and K (key), each once, then notes and bars.

    A line break where a bar is full ends it. Chords, triplets, ornaments and a second voice are not known.

    Raises ValueError, which says what cannot be read.
    """
    fields, body = {}, []
    for line in text.strip().split("\n"):
        if field := FIELD.fullmatch(line):
            if body or field[1] in fields:
                raise ValueError(f"the field {line!r} is not at the top, or is there twice")
            fields[field[1]] = field[2].strip()
        else:
            body.append(line)
    if missing := [name for name in "MLK" if name not in fields]:
        raise ValueError(f"it has no field {missing[0]}:")
    meter, unit = _meter(fields["M"]), LENGTH.fullmatch(fields["L"])
    if unit is None:
        raise ValueError(f"L:{fields['L']} is no length of a note")
    return _read(body, meter, Fraction(1, int(unit[1])), _key(fields["K"]))


def _meter(value: str) -> Fraction | None:
    value = {"C": "4/4", "C|": "2/2"}.get(value, value)
    if value == "none":
        return None
    if (found := METER.fullmatch(value)) is None:
        raise ValueError(f"M:{value} is no meter")
    return Fraction(int(found[1]), int(found[2]))


def _key(value: str) -> dict[str, int]:
    """Letter -> semitones that the key moves it by."""
    if (found := KEY.fullmatch(value)) is None:
        raise ValueError(f"K:{value} is no key")
    sharps = FIFTHS[found[1]] + 7 * {"#": 1, "b": -1, "": 0}[found[2]] - 3 * (found[3] in ("m", "min"))
    order = list(FIFTHS) if sharps >= 0 else list(FIFTHS)[::-1]
    return {letter: (1 if sharps >= 0 else -1) for letter in order[: abs(sharps)]}


def _read(body: list[str], meter: Fraction | None, unit: Fraction, key: dict[str, int]) -> Tune:
    notes, bars, length, signs = [], [], Fraction(0), dict[str, int]()
    for line in body:
        at = 0
        while at < len(line):
            if line[at].isspace():
                at += 1
            elif bar := BAR.match(line, at):
                bars += [length] * bool(length)
                length, signs, at = Fraction(0), {}, bar.end()
            elif found := NOTE.match(line, at):
                notes.append(_note(found, unit, key, signs))
                length, at = length + notes[-1].length, found.end()
            else:
                raise ValueError(f"{line[at : at + 10]!r} is no note and no bar")
        if length and length == meter:
            bars.append(length)
            length, signs = Fraction(0), {}
    if not notes:
        raise ValueError("it has no notes")
    return Tune(meter, notes, bars + [length] * bool(length))


def _note(found: re.Match, unit: Fraction, key: dict[str, int], signs: dict[str, int]) -> Note:
    """`signs`: accidentals so far in this bar, which hold to its end."""
    if found["part"] and not found["parts"]:
        raise ValueError(f"{found[0]!r} has two lengths")
    halves = len(found["parts"] or "")
    part = int(found["part"]) if found["part"] else 2**halves
    length = unit * Fraction(int(found["times"] or 1), part)
    letter, octave = found["letter"], found["octave"]
    if letter == "z":
        if found["sign"] or octave or found["tie"]:
            raise ValueError(f"{found[0]!r}: a rest has no pitch")
        return Note(None, length)
    name = letter + octave
    if found["sign"]:
        signs[name] = SIGNS[found["sign"]]
    moved = signs.get(name, key.get(letter.upper(), 0))
    octaves = letter.islower() + octave.count("'") - octave.count(",")
    return Note(MIDDLE_C + SEMITONES[letter.upper()] + moved + 12 * octaves, length, found["tie"] is not None)
