"""Which validation metric picks the best checkpoint of a run."""

from collections.abc import Mapping

from genjax.errors import UsageError
from genjax.experiment import Experiment
from genjax.metrics import METRICS
from genjax.metrics.definitions import SE, define, value_of

__all__ = ["best_of", "best_step", "check_best", "pick"]


def best_of(experiment: Experiment) -> tuple[str, str]:
    """(validation metric, "min" or "max"): `eval.best`, or the model's own."""
    if (name := experiment.eval.best) is None or name == experiment.model.best[0]:
        return experiment.model.best
    known = define(name)
    return name, "max" if known and known.higher_is_better else "min"


def check_best(experiment: Experiment) -> None:
    """Raises UsageError where `eval.best` names a metric that is not measured, or whose better way is unknown."""
    name = experiment.eval.best
    if name is None or name == experiment.model.best[0]:
        return
    if define(name) is None:
        raise UsageError(f"--eval.best {name}: nothing says whether lower or higher is better")
    measured = (*experiment.model.metrics, *experiment.eval.metrics)
    owners = [metric for metric, kind in METRICS.items() if value_of(name) in kind.values]
    if owners and not set(owners) & set(measured):
        raise UsageError(f"--eval.best {name} is not measured: add --eval.metrics {owners[0]}")


def pick(metrics: Mapping[str, float], name: str) -> float | None:
    """The metric `name` among those of an evaluation; None without it. `fd` finds `fd297_digits`."""
    if name in metrics:
        return metrics[name]
    return next((value for key, value in metrics.items() if value_of(key) == name and not key.endswith(SE)), None)


def best_step(scored: dict[int, float], direction: str) -> int:
    """The step of the least score, or with "max" of the greatest one."""
    return (min if direction == "min" else max)(scored, key=lambda step: (scored[step], step))
