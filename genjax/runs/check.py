"""Whether a recipe can be meant: its numbers before the data is loaded, its names once the data is known."""

import dataclasses
import math
import re

from genjax.data import readers
from genjax.data.tokenizers import FOLDERS
from genjax.engine.averages import sharpness
from genjax.engine.state import trained_entries
from genjax.errors import UsageError
from genjax.experiment import Data, EntryOptim, Experiment, Gradient
from genjax.files import absolute, expanded
from genjax.metrics import check_names, compared_fields
from genjax.models.base import Model
from genjax.orders import Mixture
from genjax.runs.best import check_best
from genjax.runs.sources import check_sources
from genjax.spec import DataSpec

__all__ = ["check", "resolve"]

MOST_SHOWN = 2**14  # samples on a sheet


def check(experiment: Experiment) -> None:
    """Raises UsageError for what needs no data to be seen wrong, in any section but the model.

    Numbers out of their range, unknown metrics, and fields of the data that are not NAME=COLUMN.
    """
    train, config = experiment.train, experiment.eval
    _check_counts("--", experiment)
    _check_data("--data", experiment.data)
    _check_least(1, "--train", train, "steps", "log_every", "keep", "grad_accumulation", "steps_per_call")
    _check_least(0, "--train", train, "eval_every", "sample_every", "checkpoint_every")
    _check_least(1, "--eval", config, "examples", "set_size", "samples", "grid")
    if config.grid > MOST_SHOWN:
        raise UsageError(f"--eval.grid {config.grid}: must be at most {MOST_SHOWN}")
    if not 0 <= train.seed < 2**32:
        raise UsageError(f"--train.seed {train.seed}: must be in [0, 2^32)")
    if not 0.0 <= train.ema_decay < 1.0:
        raise UsageError(f"--train.ema-decay {train.ema_decay}: must be in [0, 1)")
    if len({sharpness(sigma) for sigma in train.ema_power}) < len(train.ema_power):
        raise UsageError(f"--train.ema-power {train.ema_power}: a value is given twice")
    _check_gradient(train.gradient)
    check_names(config.metrics)
    check_best(experiment)
    for name, task in config.tasks.items():
        if not re.fullmatch(r"[\w.-]+", name):
            raise UsageError(f"eval.tasks: {name!r} is no name for a task: take letters, digits, '.', '-' and '_'")
        _check_least(1, f"--eval.tasks.{name}", task, "examples")
        check_names(task.metrics)
        if task.data is not None:
            _check_data(f"--eval.tasks.{name}.data", task.data)
    for entry, optim in {"": experiment.optim, **experiment.optim.entries}.items():
        _check_optim(f"--optim{entry and f'.entries {entry}'}", optim)


def resolve(experiment: Experiment, spec: DataSpec) -> Experiment:
    """The experiment as config.json holds it: fields that the data and the precision decide filled in, paths absolute.

    Raises:
      UsageError: as `check`; an entry that the model has not; a metric that its samples cannot be measured by; a
        gradient of single examples where the model couples them.
    """
    check(experiment)
    train, model = experiment.train, experiment.model
    if model.dtype is None:
        model = dataclasses.replace(model, dtype=train.precision)
    model = model.resolve(spec)
    entries = set(model.networks())
    named = {
        "--train.freeze": set(train.freeze),
        "--train.ema-entries": set(train.ema_entries),
        "--optim.entries": set(experiment.optim.entries),
    }
    for flag, names in named.items():
        if unknown := sorted(names - entries):
            raise UsageError(f"{flag} names {', '.join(unknown)}: the entries are {', '.join(sorted(entries))}")
    for metric in experiment.eval.metrics:
        compared_fields(metric, model.outputs(spec), spec)
    if train.gradient.kind == "per_example" and model.couples_batch:
        raise UsageError(
            f"--train.gradient.kind per_example: this {type(model).__name__} couples the examples of a batch (batch "
            "normalization does): choose another normalization"
        )
    if still := [turn.name for turn in model.turns if not turn.gradient and type(model).update is Model.update]:
        raise UsageError(f"turn {still[0]} has no gradient, and {type(model).__name__} no `update`: it trains nothing")
    tasks = {
        name: dataclasses.replace(task, data=task.data and _anchored(task.data))
        for name, task in experiment.eval.tasks.items()
    }
    experiment = dataclasses.replace(
        experiment,
        model=model,
        data=_anchored(experiment.data),
        train=dataclasses.replace(train, init_from=check_sources(train.init_from, sorted(entries))),
        eval=dataclasses.replace(experiment.eval, tasks=tasks),
    )
    if not trained_entries(experiment):
        raise UsageError("--train.freeze leaves nothing to train")
    return experiment


def _anchored(data: Data) -> Data:
    """With absolute paths: a run does not depend on the folder that a command was given in."""
    source, place = data.source.partition(":")[::2]
    local = source == "hf" and expanded(place).is_dir()
    tokenizer, folder = data.tokenizer.partition(":")[::2]
    order = data.order
    if isinstance(order, Mixture):
        others = {place if readers.is_source(place) else absolute(place): n for place, n in order.others.items()}
        order = dataclasses.replace(order, others=others)
    return dataclasses.replace(
        data,
        order=order,
        path=data.path and absolute(data.path),
        source=f"hf:{absolute(place)}" if local else data.source,
        tokenizer=f"{tokenizer}:{absolute(folder)}" if tokenizer in FOLDERS and folder else data.tokenizer,
        chat=tuple(f"hf:{absolute(form[3:])}" if form.startswith("hf:") else form for form in data.chat),
    )


def _check_counts(flag: str, section: object) -> None:
    """Every whole number but seeds fits into 32 bits, in which compiled programs count."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{flag}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            _check_counts(f"{name}.", value)
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int and abs(number) >= 2**31 and field.name != "seed":
                raise UsageError(f"{name} {number}: must be below 2^31")


def _check_least(least: int, flag: str, section: object, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and value < least:
            raise UsageError(f"{flag}.{name.replace('_', '-')} {value}: must be at least {least}")


def _check_data(flag: str, data: Data) -> None:
    _check_least(1, flag, data, "batch_size", "prefetch")
    names = []
    for field in data.fields:
        name, equals, column = field.partition("=")
        if not (name.isidentifier() and equals and column):
            raise UsageError(f"{flag}.fields {field}: write NAME=COLUMN, such as source=en")
        if name in ("index", "valid"):
            raise UsageError(f"{flag}.fields {field}: every batch has an array `{name}` already: take another name")
        names.append(name)
    if len(set(names)) < len(names):
        raise UsageError(f"{flag}.fields {' '.join(data.fields)}: a field is given twice")


def _check_gradient(gradient: Gradient) -> None:
    if not 0 < gradient.clip_norm < math.inf:
        raise UsageError(f"--train.gradient.clip-norm {gradient.clip_norm}: must be above 0")
    if not 0 <= gradient.noise_multiplier < math.inf:
        raise UsageError(f"--train.gradient.noise-multiplier {gradient.noise_multiplier}: must be a number from 0")


def _check_optim(flag: str, optim: EntryOptim) -> None:
    _check_least(1, flag, optim, "schedule_steps")
    for name in ("learning_rate", "final_learning_rate", "warmup_steps", "hold_steps", "clip_norm", "weight_decay"):
        if not 0 <= getattr(optim, name) < math.inf:  # NaN neither
            raise UsageError(f"{flag}.{name.replace('_', '-')} {getattr(optim, name)}: must be a number from 0")
    for name in ("b1", "b2", "momentum", "decay"):
        if not 0 <= getattr(optim, name) < 1:
            raise UsageError(f"{flag}.{name} {getattr(optim, name)}: must be in [0, 1)")
    if not 0 < optim.eps < math.inf:
        raise UsageError(f"{flag}.eps {optim.eps}: must be above 0")
