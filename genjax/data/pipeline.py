"""From a data set to batches. A batch is a pure function of (seed, step): the step is all there is to save.

Grain maps over *steps*, not examples: it reads ahead and decodes in threads, and a whole batch is gathered
and transformed at once.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np

from genjax.data.dataset import Dataset

Batch = dict[str, np.ndarray]

ORDER, DRAWS = range(2)  # independent streams of one seed
FOREVER = 2**40


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([k % 2**64 for k in key])))


@functools.lru_cache(maxsize=2)  # the read-ahead may straddle two epochs
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return _generator(seed, ORDER, epoch).permutation(np.arange(count, dtype=np.int32 if count < 2**31 else np.int64))


def batch_ids(count: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The examples (B,) of a step's global batch, without replacement within an epoch of count // B steps.

    The remainder of an epoch, fewer than B examples and others each time, is dropped. A data set smaller than
    the batch is repeated: its epochs' permutations are laid end to end and cut into batches, so that all
    examples have been seen equally often at any time, give or take one.
    """
    if count >= batch_size:
        epoch, place = divmod(step, count // batch_size)
        return _permutation(count, seed, epoch)[place * batch_size :][:batch_size]
    position_B = step * batch_size + np.arange(batch_size)
    first, last = position_B[0] // count, position_B[-1] // count
    epochs = [_permutation(count, seed, int(epoch)) for epoch in range(first, last + 1)]
    return np.concatenate(epochs)[position_B - first * count]


def train_batches(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    *,
    start_step: int = 0,
    rows: slice | None = None,
    workers: int = 2,
) -> Iterator[Batch]:
    """Training batches without end, that of global step `start_step` first.

    `rows` are this process's rows of the global batch (None = all). What a row holds, its augmentation
    included, depends on (seed, step, row) alone: neither on `rows`, nor on `workers`, nor on where the
    reading began. Text draws the offsets of its windows independently and uniformly; all else goes by epochs
    (see `batch_ids`).
    """
    rows = rows or slice(0, batch_size)
    source = dataset.train

    def batch(step: int) -> Batch:
        draws_B3 = _generator(seed, DRAWS, step).random((batch_size, 3))
        if source.replacement:
            ids_B = (draws_B3[:, 0] * len(source)).astype(np.int64)
        else:
            ids_B = batch_ids(len(source), batch_size, seed, step)
        examples = source.gather(ids_B[rows], draws_B3[rows])
        examples.pop("valid", None)  # in training, the example that replaces an unreadable one is as good
        return {"index": np.arange(batch_size, dtype=np.int32)[rows], **examples}

    return _read_ahead(batch, start_step, FOREVER, workers)


def validation_batches(
    dataset: Dataset,
    batch_size: int,
    *,
    rows: slice | None = None,
    examples: int | None = None,
    workers: int = 2,
) -> Iterator[Batch]:
    """The validation split, or its first `examples`, in order and once.

    The last batch is filled up with the split's last row; `valid` (B,) is False there, and where an
    unreadable file was replaced. With a tokenizer, `bytes` (B, T) counts the UTF-8 bytes of the targets.
    """
    rows = rows or slice(0, batch_size)
    source, tokenizer = dataset.validation, dataset.tokenizer
    count = len(source) if examples is None else min(examples, len(source))

    def batch(step: int) -> Batch:
        position_B = (step * batch_size + np.arange(batch_size))[rows]
        read = source.gather(np.minimum(position_B, count - 1), None)
        read["valid"] = (position_B < count) & read.get("valid", True)
        if tokenizer is not None:
            read["bytes"] = tokenizer.byte_lengths[read["tokens"][:, 1:]]
        return {"index": np.arange(batch_size, dtype=np.int32)[rows], **read}

    return _read_ahead(batch, 0, -(-count // batch_size), workers)


def _read_ahead(batch: Callable[[int], Batch], start: int, stop: int, workers: int) -> Iterator[Batch]:
    import grain  # a second to import: only once data is read

    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * workers)
    steps = grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(options)
    with contextlib.closing(iter(steps)) as batches:  # ends the threads when the reader stops early
        yield from batches
