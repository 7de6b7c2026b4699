"""An evaluation as a table: each number with its interval, its floor, and what other seeds give."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genjax.metrics.definitions import SE, define, value_of

__all__ = ["Row", "rows", "text"]


class Row(NamedTuple):
    """One number of an evaluation.

    Attributes:
      value: the mean over seeds.
      error: the standard error by the bootstrap over examples; None where there is none.
      floor: the value of real examples in place of samples; None where there is none.
      seeds: the values of several seeds of samples; () of one.
      best: of several seeds the lowest value, or the highest where higher is better.
    """

    name: str
    value: float
    error: float | None = None
    floor: float | None = None
    seeds: tuple[float, ...] = ()
    best: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95%, of a normal distribution."""
        return None if self.error is None else (self.value - 1.96 * self.error, self.value + 1.96 * self.error)


def rows(drawn: Sequence[Mapping[str, float]], floor: Mapping[str, float] = {}) -> list[Row]:
    """The rows of the same values for one or several seeds of samples.

    `floor`: the values of real examples, perhaps of another number of them.
    """
    floors, made = {_bare(name): value for name, value in floor.items()}, []
    for name in drawn[0]:
        if name.endswith(SE) and name.removesuffix(SE) in drawn[0]:
            continue
        values, errors = [part[name] for part in drawn], [part.get(name + SE) for part in drawn]
        known = define(name)
        several = len(values) > 1 and len(set(values)) > 1
        made.append(
            Row(
                name,
                float(np.mean(values)),
                None if None in errors else float(np.mean(errors)),
                floors.get(_bare(name)),
                tuple(map(float, values)) if several else (),
                float((max if known and known.higher_is_better else min)(values)) if several else None,
            )
        )
    return made


def _bare(name: str) -> str:
    """The name without the count of samples."""
    task, slash, own = name.rpartition("/")
    value = value_of(own)
    return task + slash + value + own.removeprefix(value).lstrip("0123456789k")


def text(table: Sequence[Row]) -> str:
    """The rows in columns, each line NAME VALUE and what else there is of it."""
    seeds = max((len(row.seeds) for row in table), default=0)
    columns = [[row.name for row in table], [f"{row.value:.6g}" for row in table]]
    heads = ["", f"mean of {seeds}" if seeds else ""]
    more = {
        f"best of {seeds}": [row.best for row in table],
        "95% interval": [row.interval for row in table],
        "real images": [row.floor for row in table],
    }
    for head, cells in more.items():
        if any(cell is not None for cell in cells):
            heads.append(head)
            columns.append([_cell(cell) for cell in cells])
    if len(heads) > 2:
        columns = [[head, *column] for head, column in zip(heads, columns)]
    widths = [max(23 if i == 0 else 10, *map(len, column), 0) for i, column in enumerate(columns)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths)).rstrip() for line in zip(*columns))


def _cell(value: float | tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"[{value[0]:.4g}, {value[1]:.4g}]" if isinstance(value, tuple) else f"{value:.4g}"
