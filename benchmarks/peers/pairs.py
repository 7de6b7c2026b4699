"""How two programs are compared: the same work, in one process, in turns, until both have run several rounds.

Machines are noisy and shared. A ratio of two measurements taken within a second or two of each other survives that
where the times themselves do not: hence A B A B ..., a ratio for each pair, and the median of the ratios.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from genjax.errors import UserError

TOLERANCE = 0.01  # how much the parameter counts of two sides may differ


class Side(NamedTuple):
    """`run(n)` does the work n times and returns when it is done. `parameters` is None where there are none."""

    name: str
    run: Callable[[int], object]
    parameters: int | None = None


class Pair(NamedTuple):
    """Our side, their side, and what one run handles: `count` things called `unit`, such as 128 images."""

    name: str
    ours: Side
    theirs: Side
    count: int
    unit: str
    shapes: str  # one line: sizes, batch, precision
    precision: str = "float32"


class Result(NamedTuple):
    """Things a second by side (medians over the rounds), and the medians and extremes of ours / theirs by round."""

    pair: str
    shapes: str
    unit: str
    precision: str
    ours: str
    theirs: str
    ours_per_second: float
    theirs_per_second: float
    ratio: float
    ratio_min: float
    ratio_max: float
    rounds: int
    parameters: tuple[int | None, int | None]


def check_parameters(pair: Pair) -> None:
    """Raises UserError where the two sides are not the same network: counts more than 1% apart."""
    ours, theirs = pair.ours.parameters, pair.theirs.parameters
    if (ours is None) != (theirs is None) or (ours and abs(ours - theirs) > TOLERANCE * theirs):
        raise UserError(
            f"pair {pair.name}: {pair.ours.name} has {ours} parameters and {pair.theirs.name} {theirs}, more than "
            f"{TOLERANCE:.0%} apart: give both the same layers"
        )


def compare(pair: Pair, *, rounds: int = 6, seconds: float = 1.0, clock: Callable[[], float] = time.perf_counter):
    """Runs the sides in turns, ours first in even rounds and theirs in odd ones, and returns their `Result`.

    Each turn of a side takes about `seconds` (one run, if that is longer), the same number of runs in every round.
    After the other side's turn a run does not count: what that has driven out of caches and memory returns in it.
    Before, both run twice to compile, and then until their speed is known: a reader's first batches are ready at once.
    """
    check_parameters(pair)
    sides = (pair.ours, pair.theirs)

    def time_of(side: Side, runs: int) -> float:
        begin = clock()
        side.run(runs)
        return clock() - begin

    def runs_of(side: Side) -> int:
        side.run(2)
        runs = 1
        while (taken := time_of(side, runs)) < seconds / 2:
            runs *= 2
        return max(1, round(runs * seconds / taken))

    runs = [runs_of(side) for side in sides]
    rates, last = ([], []), None
    for turn in range(rounds):
        for i in (0, 1) if turn % 2 == 0 else (1, 0):
            if i != last:
                sides[i].run(1)
            last = i
            rates[i].append(pair.count * runs[i] / time_of(sides[i], runs[i]))
    ratios = [a / b for a, b in zip(*rates)]
    return Result(
        pair=pair.name,
        shapes=pair.shapes,
        unit=pair.unit,
        precision=pair.precision,
        ours=pair.ours.name,
        theirs=pair.theirs.name,
        ours_per_second=statistics.median(rates[0]),
        theirs_per_second=statistics.median(rates[1]),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        rounds=rounds,
        parameters=(pair.ours.parameters, pair.theirs.parameters),
    )
