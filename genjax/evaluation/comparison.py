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

__all__ = ["CACHE", "Comparison"]

CACHE = "features"  # the folder, beside that of compiled programs

Batch = dict[str, np.ndarray]


class Comparison:
    """Metrics of any kind between one set of references and any number of sets of samples."""

    def __init__(self, metrics: Sequence[Metric], extractor: Extractor | None):
        """`extractor`: needed where a metric is over features."""
        self.metrics, self.extractor = metrics, extractor
        self.seen = sorted({metric.name for metric in metrics if metric.over_features})  # fields of pictures

    def observe(self, read: Callable[[], Iterator[Batch]]) -> int:
        """Takes the references, which `read` reads from the first to the last; returns their number.

        Their features come from the cache on disk where it has them. They are stored under a digest of the pixels
        themselves and of the extractor: another picture, order, size or weight is another entry, and none grows old.
        """
        count, digests = 0, {name: hashlib.sha256(self.extractor.key.encode()) for name in self.seen}
        presences: dict[str, list[Batch]] = {name: [] for name in self.seen}
        for batch in read():
            count += len(next(iter(batch.values())))
            for name in self.seen:
                image = pixels(batch[name])
                digests[name].update(b"" if presences[name] else f"{image.shape[1:]}".encode())
                digests[name].update(image.tobytes())
                presences[name].append({key: batch[key] for key in (f"{name}_present",) if key in batch})
            for metric in self.metrics:
                if not metric.over_features:
                    metric.observe(batch)
        for name in self.seen if count else ():
            arrays = self._features(name, digests[name].hexdigest(), read)
            present = {key: np.concatenate([p[key] for p in presences[name]]) for key in presences[name][0]}
            self._feed("observe", present | arrays, name)
        return count

    def update(self, batch: Batch) -> None:
        """Takes a batch of samples."""
        for name in self.seen:
            self._feed("update", batch | named(name, self.extractor(batch[name])), name)
        for metric in self.metrics:
            if not metric.over_features:
                metric.update(batch)

    def reset(self) -> None:
        """Forgets the samples and keeps the references."""
        for metric in self.metrics:
            metric.reset()

    def _feed(self, verb: str, batch: Batch, name: str) -> None:
        for metric in self.metrics:
            if metric.over_features and metric.name == name:
                getattr(metric, verb)(batch)

    def _features(self, name: str, digest: str, read: Callable[[], Iterator[Batch]]) -> Batch:
        """NAME_features and NAME_logits of all references: from the cache, or anew and into it."""
        folder = cache_folder(CACHE)
        file = folder and folder / f"{digest}.npz"
        if file and file.exists():
            try:
                with np.load(file, allow_pickle=False) as archive:
                    return named(name, dict(archive))
            except Exception:  # a torn or foreign file can fail anywhere: it is made again
                file.unlink(missing_ok=True)
        parts = [self.extractor(batch[name]) for batch in read()]
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        if file and jax.process_index() == 0:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            with contextlib.suppress(UserError):  # a full disk is no reason to lose the numbers
                write_atomic(file, buffer.getvalue())
        return named(name, arrays)


def named(name: str, arrays: Batch) -> Batch:
    """The arrays of an extractor, as a batch holds them."""
    return {f"{name}_{key}": array for key, array in arrays.items()}
