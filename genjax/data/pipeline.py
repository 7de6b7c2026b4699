"""From a data set to batches. A batch is a pure function of (seed, step): the step is all there is to save.

Grain maps over *steps*, not examples: it reads ahead and decodes in threads, and a whole batch is gathered
and transformed at once.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from genjax.data.dataset import Dataset
from genjax.data.draws import Draws
from genjax.errors import UserError
from genjax.orders import Order
from genjax.spec import Tokens

__all__ = ["split_batches", "train_batches", "validation_batches"]

Batch = dict[str, np.ndarray]
Rows = Callable[[int], slice]  # of a batch, by its number of rows

FOREVER = 2**40


def train_batches(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    *,
    start_step: int = 0,
    rows: Rows | None = None,
    workers: int = 2,
    order: Order | None = None,
) -> Iterator[Batch]:
    """Training batches without end, that of global step `start_step` first.

    What a row holds, its augmentation included, depends on (seed, step, row) alone: neither on `rows`, nor on
    `workers`, nor on where the reading began.

    Args:
      batch_size: the rows of a batch, where the order does not say otherwise (see `Dataset.shapes`).
      rows: this process's rows of a global batch; None = all.
      order: None = the data set's.
    """
    source, order = dataset.train, order or dataset.order
    plan = order.plans(source.examples, batch_size, seed)

    def batch(step: int) -> Batch:
        ids_B, lengths, arrays = plan(step)
        place_B = _places(len(ids_B), rows)
        examples = source.gather(ids_B[place_B], Draws(seed, step, place_B), lengths)
        readable = examples.pop("valid", np.ones(len(place_B), bool))  # in training another example is as good, but
        added = {name: array[place_B] for name, array in arrays.items()}
        if "valid" in dataset.spec.fields:  # not where every example is to be drawn for itself
            added["valid"] = added.get("valid", True) & readable
        return {"index": place_B.astype(np.int32), **examples, **added}

    return _read_ahead(batch, start_step, FOREVER, workers)


def split_batches(
    dataset: Dataset,
    split: Literal["train", "validation", "test"],
    batch_size: int,
    *,
    rows: Rows | None = None,
    examples: int | None = None,
    order_N: np.ndarray | None = None,
    workers: int = 2,
    follow: bool = False,
) -> Iterator[Batch]:
    """A split, or its first `examples`, in order, once, and not augmented; with `order_N` the examples of these places.

    With `follow`, data that is trained on in streams is cut into as many pieces as a batch has rows: row b reads piece
    b, window by window.

    The last batch is filled up with the split's last row; `valid` (B,) is False there, and where an unreadable file was
    replaced. For windows of text, `bytes` (B, T) counts the UTF-8 bytes of the targets.

    Raises UserError where the data has no such split.
    """
    if split not in dataset.splits:
        raise UserError(f"the data has no {split} split, only {' and '.join(dataset.splits)}")
    source, tokenizer = dataset.splits[split], dataset.tokenizer
    count = len(source) if order_N is None else len(order_N)
    count = count if examples is None else min(examples, count)
    tokens = dataset.spec.fields.get("tokens")
    counted = tokenizer is not None and isinstance(tokens, Tokens) and tokens.shifted
    added, steps = [name for name in dataset.order.adds if name != "valid"], -(-count // batch_size)
    streams = follow and "starts" in added

    def batch(step: int) -> Batch:
        place_B = _places(batch_size, rows)
        position_B = place_B * steps + step if streams else step * batch_size + place_B
        id_B = np.minimum(position_B, count - 1)
        read = source.gather(id_B if order_N is None else order_N[id_B])
        read["valid"] = (position_B < count) & read.get("valid", True)
        if counted:
            read["bytes"] = tokenizer.byte_lengths[read["tokens"][:, 1:]]
        read |= {name: np.full(len(place_B), not streams or step == 0) for name in added}
        return {"index": place_B.astype(np.int32), **read}

    return _read_ahead(batch, 0, steps, workers)


def validation_batches(
    dataset: Dataset,
    batch_size: int,
    *,
    rows: Rows | None = None,
    examples: int | None = None,
    workers: int = 2,
) -> Iterator[Batch]:
    """The batches of the validation split; see `split_batches`."""
    return split_batches(dataset, "validation", batch_size, rows=rows, examples=examples, workers=workers)


def _places(count: int, rows: Rows | None) -> np.ndarray:
    """The places of this process's rows in a batch of `count`."""
    return np.arange(count)[rows(count) if rows else slice(None)]


def _read_ahead(batch: Callable[[int], Batch], start: int, stop: int, workers: int) -> Iterator[Batch]:
    import grain  # a second to import: only once data is read

    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    steps = grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(options)
    with contextlib.closing(iter(steps)) as batches:  # ends the threads when the reader stops early
        yield from batches
