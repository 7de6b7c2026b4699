"""Batches on the device, ahead of the steps that use them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from genjax import data
from genjax.engine.engine import Engine

__all__ = ["feed"]


def feed(engine: Engine, dataset: data.Dataset, start_step: int = 0) -> Iterator[dict[str, jax.Array]]:
    """The training batches from `start_step` on, `data.prefetch` of them ahead of the step that uses them.

    One thread takes the batches in order: the step does not wait for Python to hand them over.
    """
    config = engine.experiment.data
    host = data.train_batches(
        dataset,
        config.batch_size,
        engine.experiment.train.seed,
        start_step=start_step,
        rows=engine.rows,
        workers=config.workers,
        order=config.order,
    )
    pool = ThreadPoolExecutor(1, "genjax-batches")

    def ask() -> Future[dict[str, jax.Array]]:
        return pool.submit(lambda: engine.put(next(host)))

    try:
        ready = deque(ask() for _ in range(config.prefetch))
        while True:
            batch = ready.popleft().result()
            ready.append(ask())
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
