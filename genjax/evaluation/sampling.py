"""Samples from a state: what to condition on, and any number of them in calls of one compiled size."""

import dataclasses

import numpy as np

from genjax.data import Dataset, validation_batches
from genjax.data.images import read_image, read_mask
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UsageError, UserError
from genjax.models.base import ROW, Model, SampleOptions
from genjax.spec import DataSpec

ARRAYS = ("label", "prompt", "stop", "init", "mask")  # options that become conditions


def draw(
    engine: Engine,
    state: TrainState,
    num: int,
    *,
    seed: int,
    options: SampleOptions,
    given: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """`num` samples; `given` holds arrays (num, ...) to condition on. Sample i is a function of (seed, i, given[i])."""
    conditions = {"index": np.arange(num, dtype=np.int32), **given}
    size = min(num, -(-engine.experiment.data.batch_size // ROW) * ROW)
    chunks = []
    for start in range(0, num, size):
        rows = np.minimum(np.arange(start, start + size), num - 1)  # the last call repeats its last row
        chunks.append(engine.sample(state, {k: v[rows] for k, v in conditions.items()}, seed, options))
    return {k: np.concatenate([chunk[k] for chunk in chunks])[:num] for k in chunks[0]}


def conditions(
    model: Model, options: SampleOptions, spec: DataSpec, dataset: Dataset | None, tokenizer, num: int
) -> tuple[dict[str, np.ndarray], SampleOptions]:
    """What `num` samples are conditioned on, from what the user asked for and what the data has.

    Labels and prompts are repeated in turn until there are enough; labels not asked for run through all classes.

    Returns:
      The arrays, each (num, ...), and the options with ARRAYS taken out, so that they compile once.

    Raises:
      UsageError: options that the model has not, a label that is no class, a stop that is no token, an image that
        cannot be read.
    """
    options = model.check(options)
    given = {}
    if spec.classes:
        labels = getattr(options, "label", ()) or tuple(range(spec.classes))
        if bad := [label for label in labels if not 0 <= label < spec.classes]:
            raise UsageError(f"--label {bad[0]}: the classes are 0 to {spec.classes - 1}")
        given["label"] = np.resize(np.asarray(labels, np.int32), num)
    if model.needs_data(options):
        if getattr(options, "label", ()):
            raise UsageError("--label: these samples are made from validation images, which have their own labels")
        batch = next(validation_batches(dataset, num))
        given |= {name: batch[name] for name in ("image", "label") if name in batch}
    if tokenizer is not None:
        given |= _prompts(options, tokenizer, num)
    elif getattr(options, "prompt", ()) or getattr(options, "stop", None) is not None:
        raise UsageError("--prompt and --stop are texts, and this run's data has no tokenizer to read them")
    if init := getattr(options, "init", None):
        given["init"] = _repeated(read_image(init, spec.image_shape, "--init"), num)
        if options.mask:
            given["mask"] = _repeated(read_mask(options.mask, spec.image_shape, init), num)
    taken = {field.name: field.default for field in dataclasses.fields(options) if field.name in ARRAYS}
    return given, dataclasses.replace(options, **taken)


def _repeated(array: np.ndarray, num: int) -> np.ndarray:
    return np.broadcast_to(array, (num, *array.shape))


def _prompts(options: SampleOptions, tokenizer, num: int) -> dict[str, np.ndarray]:
    prompts = [tokenizer.encode(text) for text in getattr(options, "prompt", ()) if text]
    end = -1 if tokenizer.end_of_text is None else tokenizer.end_of_text
    stops = [end] if (stop := getattr(options, "stop", None)) is None else [end, _token(stop, tokenizer)]
    if not prompts:
        prompts = [np.asarray([end if end >= 0 else _line_break(tokenizer)])]  # what stands before a text begins
    rows = [prompts[i % len(prompts)] for i in range(num)]
    padded = np.zeros((num, max(map(len, rows))), np.int32)
    for row, ids in zip(padded, rows):
        row[: len(ids)] = ids
    lengths = np.asarray([len(ids) for ids in rows], np.int32)
    return {"prompt": padded, "prompt_length": lengths, "stop": np.tile(np.int32(stops), (num, 1))}


def _token(stop: str, tokenizer) -> int:
    try:
        ids = tokenizer.encode(stop)
    except UserError as error:
        raise UsageError(f"--stop {stop!r}: {error}") from None
    if len(ids) != 1:
        raise UsageError(f"--stop {stop!r}: must be one token of this run's tokenizer, not {len(ids)}")
    return int(ids[0])


def _line_break(tokenizer) -> int:
    try:
        return int(tokenizer.encode("\n")[0])
    except UserError:  # a character tokenizer of a text of one line
        return 0
