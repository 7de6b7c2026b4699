"""What goes wrong beside the training, and what a run that was ended between two things has left to do."""

import dataclasses
import os
import signal
from types import SimpleNamespace

import pytest
from systems import TINY

import genjax
from genjax.errors import UserError
from genjax.models import VAE
from genjax.runs.checkpoint import steps
from genjax.runs.lock import RunLock
from genjax.runs.metrics import read_metrics
from genjax.training import loop, outputs
from genjax.training.outputs import Outputs


def short(**train):
    experiment = TINY["vae-conditional"]
    train = {"steps": 2, "eval_every": 0, "sample_every": 0, "checkpoint_every": 0, "log_every": 1, **train}
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))


def losses(run) -> dict[int, float]:
    return {record["step"]: record["elbo/loss"] for record in read_metrics(run) if "elbo/loss" in record}


def having(run, step: int, name: str) -> int:
    """How many records of a step have a metric."""
    return sum(name in record for record in read_metrics(run) if record["step"] == step)


@pytest.fixture
def interrupted_at(monkeypatch):
    """Sends this process a signal when the batch of a step is asked for."""

    def arrange(step: int, number: int):
        feed = loop.feed

        def with_signal(engine, dataset, start):
            for i, batch in enumerate(feed(engine, dataset, start), start + 1):
                if i == step:
                    os.kill(os.getpid(), number)
                yield batch

        monkeypatch.setattr(loop, "feed", with_signal)

    return arrange


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_closed_terminal_and_ctrl_c_save_too(tmp_path, interrupted_at, number):
    interrupted_at(2, number)
    with pytest.raises(UserError, match=f"stopped by {number.name} at step 2, saved"):
        genjax.train(short(steps=9), tmp_path / "run")
    assert steps(tmp_path / "run") == [2]


def test_the_first_record_after_a_stop_averages_what_the_unbroken_run_averages(tmp_path, interrupted_at, monkeypatch):
    experiment = short(steps=8, log_every=4)
    genjax.train(experiment, tmp_path / "whole")
    interrupted_at(6, signal.SIGTERM)
    with pytest.raises(UserError, match="at step 6, saved"):
        genjax.train(experiment, tmp_path / "run")
    monkeypatch.undo()
    genjax.train(experiment, tmp_path / "run")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole") and set(losses(tmp_path / "whole")) == {4, 8}


@pytest.mark.parametrize("last", [True, False])
def test_what_was_due_at_a_checkpoint_and_is_missing_is_made_up_for(tmp_path, monkeypatch, last):
    run = tmp_path / "run"
    experiment = short(steps=2 if last else 4, sample_every=2, checkpoint_every=2, eval_every=2)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Outputs, "samples", killed)
        genjax.train(experiment, run)
    assert steps(run) == [2] and not list((run / "samples").glob("2*"))
    genjax.train(experiment, run)
    assert list((run / "samples").glob("2*.png"))
    assert having(run, 2, "validation/elbo") == having(run, 2, "seconds/sample") == 1
    before = (run / "metrics.jsonl").read_bytes()
    genjax.train(experiment, run)  # nothing is missing any more
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("owner, method", [(outputs.Previews, "write"), (outputs.Previews, "__init__")])
def test_samples_that_fail_end_no_run(tmp_path, monkeypatch, capfd, owner, method):
    def fail(*_, **__):
        raise RuntimeError("no such picture\nat all")

    monkeypatch.setattr(owner, method, fail)
    assert "elbo" in genjax.train(short(sample_every=1), tmp_path / "run")
    assert steps(tmp_path / "run") == [2] and (tmp_path / "run" / "weights.safetensors").exists()
    said = capfd.readouterr().err
    assert "no samples" in said and "no such picture" in said and "at all" not in said


def test_a_report_that_fails_ends_no_run(tmp_path, monkeypatch, capfd):
    def fail(*_, **__):
        raise ZeroDivisionError("charts")

    monkeypatch.setattr(outputs, "write_report", fail)
    genjax.train(short(), tmp_path / "run")
    assert "report not written: charts" in capfd.readouterr().err


def test_the_weights_are_saved_where_evaluation_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise UserError("this picture cannot be read")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="this picture cannot be read"):
        patch.setattr(loop.Evaluation, "__call__", fail)
        genjax.train(short(), tmp_path / "run")
    assert steps(tmp_path / "run") == [2]
    assert "elbo" in genjax.train(short(), tmp_path / "run")


def test_a_best_metric_that_evaluation_never_gives_is_said_once(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(VAE, "best", ("fidelity", "max"))
    genjax.train(short(eval_every=1), tmp_path / "run")
    said = capfd.readouterr().err
    assert said.count("no checkpoint will be the best: VAE.best names `fidelity`, and evaluation gives elbo") == 1


def test_a_second_trainer_is_refused_and_changes_nothing(tmp_path):
    run = tmp_path / "run"
    genjax.train(short(), run)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with RunLock(run), pytest.raises(UserError, match="is being trained by process"):
        genjax.train(short(steps=3), run)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    genjax.train(short(steps=3), run)


def test_a_schedule_whose_end_moves_is_said_and_can_be_kept(tmp_path, capfd):
    def extended(steps, **optim):
        experiment = short(steps=steps)
        optim = dataclasses.replace(experiment.optim, schedule="cosine", final_learning_rate=1e-4, **optim)
        return dataclasses.replace(experiment, optim=optim)

    def rates(run):
        return [record["lr/decoder"] for record in read_metrics(run) if "lr/decoder" in record]

    for name, optim in (("jumps", {}), ("kept", {"schedule_steps": 3})):
        run = tmp_path / name
        genjax.train(extended(3), run)
        capfd.readouterr()
        genjax.train(extended(5, **optim), run)
        said = (
            "learning rate jumps: its cosine schedule ended at step 3 and ends at step 5 now; --optim.schedule-steps 3"
        )
        assert (said in capfd.readouterr().err) == (name == "jumps")
    assert rates(tmp_path / "jumps")[3] > rates(tmp_path / "jumps")[2]
    assert rates(tmp_path / "kept")[3:] == pytest.approx([1e-4, 1e-4])


def test_a_full_disk_under_the_metrics_is_one_line(tmp_path, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    start = loop._Session._start

    def filled(self):
        state = start(self)
        self.writer._file = Full()
        return state

    monkeypatch.setattr(loop._Session, "_start", filled)
    with pytest.raises(UserError, match=r"cannot write to '.*metrics.jsonl': No space left on device"):
        genjax.train(short(), tmp_path / "run")


def test_a_model_without_samples_ends_with_its_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(VAE, "sample", lambda *_: (_ for _ in ()).throw(NotImplementedError()))
    genjax.train(short(), tmp_path / "run")
    assert steps(tmp_path / "run") == [2]


@pytest.mark.parametrize("lead", [True, False])
def test_every_process_has_drawn_before_one_of_them_writes(lead, tmp_path):
    """Or a process whose disk is full would be a step ahead of the others."""
    done, said = [], []

    def full(folder):
        done.append("write")
        raise OSError("No space left on device")

    shown = Outputs.__new__(Outputs)
    shown.previews = SimpleNamespace(draw=lambda state: done.append("draw"), write_real=full)
    shown.out, shown.lead, shown.progress = tmp_path, lead, SimpleNamespace(message=said.append)
    shown.samples(3, None)
    assert done == ["draw", "write"][: 1 + lead]
    assert said == ["no samples of step 3: No space left on device"] * lead
