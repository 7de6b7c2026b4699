"""Any number of samples from a state, in calls of one compiled size."""

import math
from collections.abc import Iterator

import jax
import numpy as np

from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.memory import available, require_room
from genjax.models.base import ROW, SampleOptions

__all__ = ["draw", "draws", "parts", "size_of_all"]

Arrays = dict[str, np.ndarray]


def draws(
    engine: Engine,
    state: TrainState,
    conditions: Arrays,
    *,
    seed: int,
    options: SampleOptions,
    only: frozenset[str] | None = None,
) -> Iterator[Arrays]:
    """One sample for each row of `conditions` (see `evaluation.conditions`), call after call.

    Sample i is a function of (seed, i, row i); where a model lets samples depend on one another, on the ROW samples
    that it is drawn with. `only` names the arrays that are wanted; None = all.

    Raises UserError where the samples of one call do not fit into memory.
    """
    num = len(conditions["index"])
    size = min(num, -(-engine.experiment.data.batch_size // ROW) * ROW)
    for start in range(0, num, size):
        rows = np.minimum(np.arange(start, start + size), num - 1)  # the last call repeats its last row
        given = {name: array[rows] for name, array in conditions.items()}
        if start == 0:
            shapes = engine.sample_shapes(state, given, seed, options)
            require_room(_bytes(shapes), f"{size} samples at once", "take a smaller --num, or shorter samples")
        outputs = engine.sample(state, given, seed, options, only)
        yield {name: array[: num - start] for name, array in outputs.items()}


def draw(engine: Engine, state: TrainState, conditions: Arrays, *, seed: int, options: SampleOptions) -> Arrays:
    """All samples of `draws` at once."""
    return _joined(list(draws(engine, state, conditions, seed=seed, options=options)))


def parts(
    engine: Engine,
    state: TrainState,
    conditions: Arrays,
    *,
    seed: int,
    options: SampleOptions,
    most: int | None = None,
    room: int | None = None,
) -> Iterator[tuple[Arrays, Arrays]]:
    """The samples of `draws` in parts that fit into memory, each with the rows of `conditions` that it was drawn for.

    Args:
      most: samples of a part (at least those of one call); None = any number.
      room: bytes of a part; None = a quarter of the memory there is.
    """
    room = available() // 4 if room is None else room
    most = math.inf if most is None else most
    held, done = [], 0
    for chunk in draws(engine, state, conditions, seed=seed, options=options):
        held.append(chunk)
        count = sum(map(_rows, held))
        full = count + _rows(chunk) > most or sum(map(_bytes, held)) + _bytes(chunk) > room
        if full or done + count == len(conditions["index"]):
            yield _joined(held), {name: array[done : done + count] for name, array in conditions.items()}
            held, done = [], done + count


def size_of_all(engine: Engine, state: TrainState, conditions: Arrays, *, seed: int, options: SampleOptions) -> int:
    """The bytes that the samples of all rows take; none is drawn."""
    one = {name: array[:1] for name, array in conditions.items()}
    return _bytes(engine.sample_shapes(state, one, seed, options)) * len(conditions["index"])


def _rows(chunk: Arrays) -> int:
    return len(next(iter(chunk.values())))


def _bytes(arrays: dict[str, np.ndarray | jax.ShapeDtypeStruct]) -> int:
    return sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values())


def _joined(chunks: list[Arrays]) -> Arrays:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
