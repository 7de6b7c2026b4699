"""Metrics fed with references and samples: each picture is seen by the extractor once, references once for ever."""

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from genjax.errors import UserError
from genjax.files import cache_folder, write_atomic
from genjax.metrics import Metric
from genjax.metrics.features import Extractor
from genjax.metrics.features.base import pixels
from genjax.runtime import distributed

__all__ = ["CACHE", "Comparison"]

CACHE = "features"  # the folder, beside that of compiled programs

Batch = dict[str, np.ndarray]


class Comparison:
    """Metrics of any kind between real examples and any number of sets of samples."""

    def __init__(self, metrics: Sequence[Metric], extractor: Extractor | None):
        """`extractor`: needed where a metric is over features."""
        self.metrics, self.extractor = metrics, extractor

    def observe(self, read: Callable[[], Iterator[Batch]], examples: str = "held out") -> int:
        """Takes the references of all metrics against these examples; returns their number.

        `read` reads them from the first to the last. Their features come from the cache on disk where it has them. They
        are stored under a digest of the pixels themselves and of the extractor: another picture, order, size or weight
        is another entry, and none grows old.
        """
        return self._take([metric for metric in self.metrics if metric.against == examples], "observe", read)

    def pretend(self, read: Callable[[], Iterator[Batch]], against: str) -> None:
        """Takes real examples for samples, in the metrics against others: what comes out is the floor."""
        metrics = [metric for metric in self.metrics if metric.against == against and not metric.paired]
        self._take(metrics, "update", read)

    def update(self, batch: Batch) -> None:
        """Takes a batch of samples."""
        for name in seen(self.metrics):
            _feed(self.metrics, "update", batch | self._features(batch[name]), name)
        for metric in self.metrics:
            if not metric.over_features:
                metric.update(batch)

    def reset(self) -> None:
        """Forgets the samples and keeps the references."""
        for metric in self.metrics:
            metric.reset()

    def _take(self, metrics: Sequence[Metric], verb: str, read: Callable[[], Iterator[Batch]]) -> int:
        if not metrics:
            return 0
        count, names = 0, seen(metrics)
        beside = {"label", *(key for metric in metrics if metric.over_features for key in metric.beside)}
        digests = {name: hashlib.sha256(self.extractor.key.encode()) for name in names}
        kept: dict[str, list[Batch]] = {name: [] for name in names}
        for batch in read():
            count += len(next(iter(batch.values())))
            for name in names:
                image = pixels(batch[name])
                digests[name].update(b"" if kept[name] else f"{image.shape[1:]}".encode())
                digests[name].update(image.tobytes())
                kept[name].append({key: batch[key] for key in (f"{name}_present", *beside) if key in batch})
            for metric in metrics:
                if not metric.over_features:
                    getattr(metric, verb)(batch)
        for name in names if count else ():
            arrays = self._cached(digests[name].hexdigest(), lambda name=name: (batch[name] for batch in read()))
            more = {key: np.concatenate([part[key] for part in kept[name]]) for key in kept[name][0]}
            _feed(metrics, verb, more | arrays, name)
        return count

    def _cached(self, digest: str, pictures: Callable[[], Iterator[np.ndarray]]) -> Batch:
        """The extractor's arrays for all examples: from the cache, or anew and into it."""
        folder = cache_folder(CACHE)
        file = folder and folder / f"{digest}.npz"
        found = None
        if file and file.exists():
            try:
                with np.load(file, allow_pickle=False) as archive:
                    found = dict(archive)
            except Exception:  # a torn or foreign file can fail anywhere: it is made again
                file.unlink(missing_ok=True)
        if all(distributed.gather("found" * (found is not None))) and found is not None:  # they look together
            return found
        parts = [self._features(image) for image in pictures()]
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        if file and jax.process_index() == 0:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            with contextlib.suppress(UserError):  # a full disk is no reason to lose the numbers
                write_atomic(file, buffer.getvalue())
        return arrays

    def _features(self, image: np.ndarray) -> Batch:
        """The extractor's arrays for pictures: every process looks at its share of them, and all have the whole."""
        processes, number = jax.process_count(), jax.process_index()
        share = -(-len(image) // processes)
        mine = np.minimum(np.arange(number * share, (number + 1) * share), len(image) - 1)
        return {key: distributed.gather_rows(x)[: len(image)] for key, x in self.extractor(image[mine]).items()}


def seen(metrics: Sequence[Metric]) -> list[str]:
    """The fields of pictures that an extractor has to look at."""
    return sorted({metric.name for metric in metrics if metric.over_features})


def _feed(metrics: Sequence[Metric], verb: str, batch: Batch, name: str) -> None:
    """`batch` holds the extractor's arrays for the field `name`."""
    batch = batch | {f"{name}_{key}": batch[key] for key in ("features", "logits") if key in batch}
    for metric in metrics:
        if metric.over_features and metric.name == name:
            getattr(metric, verb)(batch)
