"""What `genjax eval` leaves in a run, and which metric picks the best checkpoint."""

import dataclasses

import numpy as np
import pytest
from systems import SYSTEMS

from genjax.errors import UsageError, UserError
from genjax.runs.best import best_of, check_best, pick
from genjax.runs.evaluations import read_evaluation, save_evaluation


def test_numbers_are_added_and_replaced(tmp_path):
    assert read_evaluation(tmp_path) == {}
    save_evaluation(tmp_path, {"fd9": {"value": 1.0}, "kid9": {"value": 2.0}}, {})
    images = np.zeros((3, 6, 8, 8, 1), np.float32)
    files = save_evaluation(tmp_path, {"fd9": {"value": 3.0, "error": 0.5}}, {"task/image": images})
    assert read_evaluation(tmp_path) == {"fd9": {"value": 3.0, "error": 0.5}, "kid9": {"value": 2.0}}
    assert [file.name for file in files] == ["results.json", "nearest-task-image.png"] and files[1].exists()
    files[0].write_text('{"fd9": 3}')
    with pytest.raises(UserError, match=r"results.json is damaged: delete it"):
        read_evaluation(tmp_path)


def chosen(name, best, **evaluation):
    experiment = SYSTEMS[name].experiment
    return dataclasses.replace(experiment, eval=dataclasses.replace(experiment.eval, best=best, **evaluation))


def test_any_measured_metric_may_pick_the_best_checkpoint():
    assert best_of(chosen("vae", None)) == ("elbo", "max") and best_of(chosen("gan", None)) == ("swd", "min")
    assert best_of(chosen("gan", "fd")) == ("fd", "min") and best_of(chosen("gan", "recall")) == ("recall", "max")
    check_best(chosen("gan", "recall", metrics=("pr",)))
    check_best(chosen("gan", "swd"))
    check_best(chosen("vae", "nll_iwae16"))
    with pytest.raises(UsageError, match=r"--eval.best recall is not measured: add --eval.metrics pr"):
        check_best(chosen("gan", "recall", metrics=("fd",)))
    with pytest.raises(UsageError, match=r"--eval.best beauty: nothing says whether lower or higher is better"):
        check_best(chosen("gan", "beauty"))


def test_a_metric_is_found_whatever_its_count():
    metrics = {"fd297_digits_se": 9.0, "fd297_digits": 1.0, "elbo": 2.0}
    assert [pick(metrics, name) for name in ("fd", "fd297_digits", "elbo", "kid")] == [1.0, 1.0, 2.0, None]
