"""Several samples for each row, of which the one is kept that fits best what it was made from, as another run sees it.

So Ramesh et al. 2021 (arXiv:2102.12092, section 2.6) take the best of 512 pictures by CLIP's score.
"""

from pathlib import Path

import jax
import numpy as np

from genjax.engine.engine import Engine
from genjax.engine.state import TrainState, averaged
from genjax.errors import UsageError, UserError
from genjax.models.base import Batch, SampleOptions
from genjax.runs.restore import OpenRun, open_run
from genjax.spec import Tokens

__all__ = ["Ranked", "ranked"]


class Ranked(Engine):
    """An engine that draws `best_of` samples for each row and returns the one of the highest score."""

    def __init__(self, engine: Engine, ranker: OpenRun, best_of: int):
        vars(self).update(vars(engine))
        self.ranker, self.best_of = ranker, best_of
        model, fields = ranker.engine.model, ranker.engine.spec.fields
        self._read = {key for name in model.scores for key in fields[name].arrays(name)}
        self._score = ranker.engine.jit(lambda state, batch: model.score(*averaged(state), batch))

    def sample(
        self,
        state: TrainState,
        conditions: dict[str, np.ndarray],
        seed: int,
        options: SampleOptions,
        only: frozenset[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """As of `Engine`, with all arrays, which the score may read.

        The samples of a row differ in the `index` from which their noise is drawn.
        """
        draws = [
            super(Ranked, self).sample(state, {**conditions, "index": index_N}, seed, options)
            for index_N in conditions["index"] * self.best_of + np.arange(self.best_of, dtype=np.int32)[:, None]
        ]
        best_N = np.stack([self.scores({**conditions, **made}) for made in draws]).argmax(0)
        rows_N = np.arange(len(best_N))
        return {name: np.stack([made[name] for made in draws])[best_N, rows_N] for name in draws[0]}

    def scores(self, batch: Batch) -> np.ndarray:
        """(N,) float32. Raises UserError where samples were made from something else than what the ranker reads."""
        if missing := [name for name in self.ranker.engine.model.scores if name not in batch]:
            raise UserError(f"--rerank: the score is of {missing[0]}, and these samples are made without one")
        with jax.set_mesh(self.ranker.engine.mesh):
            read = {key: value for key, value in batch.items() if key in self._read}
            return np.asarray(jax.device_get(self._score(self.ranker.state, read)))


def ranked(opened: OpenRun, run: Path, best_of: int) -> Ranked:
    """The engine of an opened run, its samples ranked by the model of `run`.

    Raises:
      UsageError: a model that tells no fit, or of other pictures or other texts than the samples'. UserError: as
        `open_run`.
    """
    if not 2 <= best_of <= 1024:
        raise UsageError(f"--best-of {best_of}: take the best of 2 to 1024 samples")
    ranker = open_run(run)
    model, engine = ranker.engine.model, opened.engine
    if not model.scores:
        raise UsageError(f"--rerank {run}: {type(model).__name__} tells no fit of its fields; CrossModal does")
    for name in model.scores:
        wanted = ranker.engine.spec.fields[name]
        found = engine.model.outputs(engine.spec).get(name, engine.spec.fields.get(name))
        texts = isinstance(wanted, Tokens) and isinstance(found, Tokens) and found.longest <= wanted.longest
        if not texts and found != wanted:
            has = f"is {found.describe()}" if found else "is not there"
            raise UsageError(f"--rerank {run}: it reads `{name}`, {wanted.describe()}, which {has} here")
    theirs, ours = (run.tokenizer and run.tokenizer.fingerprint for run in (ranker, opened))
    if theirs != ours:
        raise UsageError(f"--rerank {run}: it was trained with another tokenizer, whose ids mean other text")
    return Ranked(engine, ranker, best_of)
