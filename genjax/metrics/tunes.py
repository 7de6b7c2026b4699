"""Tunes in ABC notation: whether they can be read, and whether their bars are as long as they say."""

from collections.abc import Iterable

import numpy as np

from genjax.metrics.abc_notation import Tune, parse
from genjax.metrics.bootstrap import standard_error
from genjax.metrics.texts import Texts

__all__ = ["Tunes"]


class Tunes(Texts):
    """`tunes_parse`, the share of tunes that can be read; `bars_add_up`, of all tunes with a meter, and at least three
    bars, those whose bars between the first and the last are as long as the meter says, and these are no longer.

    A tune that cannot be read is none whose bars add up. `_of_data` says the same of the examples.
    """

    values = {
        "tunes_parse": "the share of samples that are tunes in ABC notation, of one voice",
        "tunes_parse_of_data": "the same of the data's own tunes",
        "bars_add_up": "the share of samples, but for those in free meter, whose bars are as long as they say",
        "bars_add_up_of_data": "the same of the data's own tunes, not all of which are written out strictly",
    }
    source = "a count of genjax's own"

    def result(self) -> dict[str, float]:
        values = {}
        for end, part in (("", self.outputs), ("_of_data", self.references)):
            tunes = [_tune(text) for text in self.spelled(part)]
            strict = [tune for tune in tunes if tune is None or tune.meter is not None]
            values |= _share(f"tunes_parse{end}", (tune is not None for tune in tunes))
            values |= _share(f"bars_add_up{end}", (tune is not None and tune.adds_up for tune in strict))
        return values


def _tune(text: str) -> Tune | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _share(name: str, found: Iterable[bool]) -> dict[str, float]:
    """The share of those that are true, with its standard error; {} of none."""
    found_N = np.array(list(found), np.float64)
    if not len(found_N):
        return {}
    error = standard_error(lambda weight_N: weight_N @ found_N / weight_N.sum(), len(found_N))
    return {name: float(found_N.mean()), f"{name}_se": error}
