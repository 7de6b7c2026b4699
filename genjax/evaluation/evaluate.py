"""How good a state is: the model's own sums over the validation split, and distances between sets of samples."""

from collections import defaultdict

import numpy as np

from genjax.data import Dataset, validation_batches
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UsageError, UserError
from genjax.evaluation.sampling import draw
from genjax.metrics import SET_METRICS, check_names


def evaluate(engine: Engine, state: TrainState, dataset: Dataset) -> dict[str, float]:
    """Metric -> value over the validation split (or its first `eval.examples`).

    `<metric>_count` says over how many examples or tokens, once for each different count.
    """
    config = engine.experiment.eval
    sums, counts = defaultdict(float), defaultdict(float)
    batch_size = engine.experiment.data.batch_size
    batches = validation_batches(dataset, batch_size, rows=engine.rows, examples=config.examples)
    for number, batch in enumerate(batches):
        for name, (total, count) in engine.evaluate(state, batch, number * batch_size).items():
            sums[name] += float(total)  # float64 on the host: float32 sums lose digits over many batches
            counts[name] += float(count)
    metrics = engine.model.finalize({name: sums[name] / max(counts[name], 1.0) for name in sums})
    metrics |= {f"{name}_count": counts[name] for name in sums if counts[name] != counts[next(iter(sums))]}
    if sums:
        metrics["count"] = counts[next(iter(sums))]
    return metrics | _set_metrics(engine, state, dataset)


def _set_metrics(engine: Engine, state: TrainState, dataset: Dataset) -> dict[str, float]:
    config = engine.experiment.eval
    names = dict.fromkeys((*engine.model.set_metrics, *config.metrics))
    check_names(names)
    if not names:
        return {}
    if engine.spec.image_shape is None:
        raise UsageError(f"{', '.join(names)} compares images, and this run has none")
    if engine.spec.latent_shape is not None:
        raise UsageError(f"{', '.join(names)} compares images, and this run's data has only latents of them")
    size = min(config.set_size, engine.spec.validation_examples)
    # Every process reads the whole set: all compute the same numbers, and keep the same best checkpoint.
    batches = list(validation_batches(dataset, engine.experiment.data.batch_size, examples=size))
    real = {k: np.concatenate([b[k][b["valid"]] for b in batches]) for k in ("image", "label") if k in batches[0]}
    count = len(real["image"])  # without the unreadable ones
    if not count:
        raise UserError(f"{', '.join(names)}: none of the first {size} validation images can be read")
    options = engine.model.Options()
    fields = ("image", "label") if engine.model.needs_data(options) else ("label",)
    conditions = {name: real[name] for name in fields if name in real}
    generated = draw(engine, state, count, seed=engine.experiment.train.seed, options=options, given=conditions)
    return {name: float(SET_METRICS[name](real["image"], generated["image"])) for name in names}
