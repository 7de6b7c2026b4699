"""Parallel text that a package brings along: names and written dates in two languages, of Unicode's CLDR in Babel."""

import datetime
from typing import Any

import numpy as np

from genjax.data import readers
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data

__all__ = ["phrases"]

NAMES = ("territories", "languages", "scripts", "variants", "currencies")
SKELETONS = ("yMMMMd", "MMMMd", "yMMMM", "yMMMMEEEEd", "yQQQQ", "MMMMW", "yw")  # of dates
SECONDS = {"day": 86400, "week": 604800, "month": 2629800, "year": 31557600, "hour": 3600, "minute": 60}
WRITTEN = 12000  # phrases with a number or a date
LONGEST = 60  # letters


@readers.register("phrases", prefix="phrases:")
def phrases(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """`phrases:en-de`: the fields `source` and `target` in two of CLDR's languages.

    Names of territories, languages, scripts, variants and currencies as CLDR lists them, and dates, spans of time,
    units and amounts of money, drawn at random from a fixed seed and written out. Each source is there once.

    Raises:
      UserError: Babel is not installed. UsageError: no pair of languages, or one that CLDR does not have.
    """
    try:
        import babel
    except ImportError as error:
        raise UserError("phrases: are made by Babel: pip install genjax-suite[text]") from error
    codes = place.split("-")
    try:
        first, second = (babel.Locale.parse(code) for code in codes)
    except (ValueError, babel.UnknownLocaleError):
        raise UsageError(f"--data.source phrases:{place}: name two languages of CLDR, as in phrases:en-de") from None
    pairs = {**_written(first, second), **_names(first, second)}
    pairs = [pair for pair in pairs.items() if max(map(len, pair)) <= LONGEST]
    mixed = [pairs[n] for n in np.random.default_rng(0).permutation(len(pairs))]  # the first show every kind
    sources, targets = zip(*mixed)
    columns = {"source": objects(sources), "target": objects(targets)}
    kinds = dict.fromkeys(columns, "text")
    return columns_dataset(data, f"phrases:{place}", {"train": columns}, tokenizer, kinds=kinds)


def _names(first: Any, second: Any) -> dict[str, str]:
    """Those that both languages have."""
    return {
        ours: str(getattr(second, kind)[code])
        for kind in NAMES
        for code, ours in getattr(first, kind).items()
        if code in getattr(second, kind)
    }


def _written(first: Any, second: Any) -> dict[str, str]:
    from babel import dates, numbers, units

    draw, pairs = np.random.default_rng(0), {}
    kinds = [unit for unit in first.unit_display_names if unit in second.unit_display_names]
    currencies = sorted(first.currencies.keys() & second.currencies.keys())

    def one(kind: int, locale: Any, day: datetime.date, number: float, a: int, b: int) -> str:
        if kind == 0:
            return dates.format_date(day, "full", locale)
        if kind == 1:
            return dates.format_skeleton(SKELETONS[a % len(SKELETONS)], day, locale=locale)
        if kind == 2:
            name, seconds = list(SECONDS.items())[a % len(SECONDS)]
            span = datetime.timedelta(seconds=seconds * (int(number) % 11 + 1) * (1 if b % 2 else -1))
            return dates.format_timedelta(span, name, threshold=10**6, add_direction=True, locale=locale)
        if kind == 3:
            return units.format_unit(number, kinds[a % len(kinds)], "long", locale=locale)
        return numbers.format_currency(number, currencies[a % len(currencies)], format_type="name", locale=locale)

    for kind in draw.choice(5, WRITTEN, p=(0.25, 0.25, 0.1, 0.2, 0.2)):
        day = datetime.date(1950, 1, 1) + datetime.timedelta(int(draw.integers(36525)))
        number = round(float(10 ** draw.uniform(0, 4)), int(draw.integers(3)))
        drawn = (kind, day, number, int(draw.integers(10**6)), int(draw.integers(10**6)))
        source, target = (one(drawn[0], locale, *drawn[1:]) for locale in (first, second))
        pairs[source] = target
    return pairs
