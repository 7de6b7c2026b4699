"""A run from its first step to its report: resumed, stopped, torn, refused."""

import dataclasses
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest
from systems import TINY

import genjax
from genjax.errors import UserError
from genjax.experiment import Data, Mesh
from genjax.models import DenseAutoencoder
from genjax.orders import Buckets
from genjax.runs import restore
from genjax.runs.best import pick
from genjax.runs.metrics import read_metrics
from genjax.training import loop, progress
from genjax.training.clock import Clock
from genjax.training.outputs import Outputs

SYSTEMS = ["vae-conditional", "gan", "gpt", pytest.param("diffusion-dit", marks=pytest.mark.slow)]


def short(name: str, **train):
    experiment = TINY[name]
    train = {"steps": 6, "checkpoint_every": 2, "eval_every": 0, **train}
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))


def state_of(run, checkpoint="latest"):
    return jax.device_get(restore.open_run(run, checkpoint).state)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """name -> the run directory of an uninterrupted run, which tests read; what they write to is a copy of it."""

    @functools.cache
    def train(name, **options):
        run = tmp_path_factory.mktemp(name) / "run"
        genjax.train(short(name, **options), run, recipe=name)
        return run

    return train


@pytest.fixture
def sigterm_at(monkeypatch):
    """Sends this process SIGTERM when the batch of a step is asked for."""

    def arrange(step: int, number_of_signal: int = signal.SIGTERM):
        feed = loop.feed

        def with_signal(engine, dataset, start):
            for number, batch in enumerate(feed(engine, dataset, start), start + 1):
                if number == step:
                    os.kill(os.getpid(), number_of_signal)
                yield batch

        monkeypatch.setattr(loop, "feed", with_signal)

    return arrange


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_directory_holds_what_is_promised(name, whole):
    run = whole(name)
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "environment.json", "metrics.jsonl", "checkpoints", "samples", "report.html"} <= names
    assert ("tokenizer.json" in names) == (name == "gpt")
    records = read_metrics(run)
    turns = {turn.name for turn in TINY[name].model.turns}
    assert {key.split("/")[0] for r in records for key in r if key.endswith("/loss") and key[0] != "v"} == turns
    last = {key: value for record in records if record["step"] == 6 for key, value in record.items()}
    measured = {key.removeprefix("validation/"): value for key, value in last.items() if key.startswith("validation/")}
    assert pick(measured, TINY[name].model.best[0]) is not None
    assert any(key.startswith("grad_norm/") for key in last) and any(key.startswith("lr/") for key in last)
    assert list((run / "samples").glob("6*.txt" if name == "gpt" else "6*.png"))
    assert {int(path.name) for path in (run / "checkpoints").iterdir()} == {4, 6}
    assert "jax" in json.loads((run / "environment.json").read_text())


@pytest.mark.parametrize("name", SYSTEMS)
def test_stopped_by_sigterm_and_resumed_is_bit_identical(name, whole, tmp_path, sigterm_at, monkeypatch):
    run = tmp_path / "run"
    sigterm_at(3)
    with pytest.raises(UserError, match="SIGTERM at step 3, saved"):
        genjax.train(short(name), run, recipe=name)
    assert int(state_of(run).step) == 3
    monkeypatch.undo()
    genjax.train(short(name), run, recipe=name)
    chex.assert_trees_all_equal(state_of(run), state_of(whole(name)))
    assert sorted({r["step"] for r in read_metrics(run)}) == [1, 2, 3, 4, 5, 6]


def test_what_was_due_at_the_step_of_a_stop_is_done_by_the_next_run(tmp_path, sigterm_at, monkeypatch):
    experiment = short("vae-conditional", eval_every=2)
    sigterm_at(4)
    with pytest.raises(UserError, match="SIGTERM at step 4, saved"):
        genjax.train(experiment, tmp_path)
    monkeypatch.undo()
    genjax.train(experiment, tmp_path)
    assert [r["step"] for r in read_metrics(tmp_path) if "validation/elbo" in r] == [2, 4, 6]


def test_a_speed_is_of_the_steps_that_are_done_when_it_is_told(monkeypatch):
    """Three steps a call, of 6 s: the middle one is logged when all of them are done."""
    now, told = SimpleNamespace(time=0.0), []
    monkeypatch.setattr(progress, "monotonic", lambda: now.time)
    session = loop._Session.__new__(loop._Session)
    session.experiment = SimpleNamespace(train=SimpleNamespace(log_every=2))
    session.progress = progress.Progress(99, 0, batch_size=1, stream=io.StringIO())
    session.lead, session.window, session.clock = True, {}, Clock()
    session.utilization = lambda rate: {}
    session.writer = SimpleNamespace(write=lambda step, values: told.append(values["steps_per_second"]))
    for call in range(9):
        now.time += 6
        session._read([(3 * call + i, {"a/loss": np.float32(1)}) for i in (1, 2, 3)])
    session.clock.close()
    np.testing.assert_allclose(told, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "translation"])
def test_carried_state_and_buckets_are_resumed_bit_identically(name, tmp_path, sigterm_at, monkeypatch):
    experiment = short(name, sample_every=0)
    if name == "translation":
        rows = (f"{'ab' * (1 + n % 9)}\t{'ba' * (1 + n % 7)}\n" for n in range(64))
        (tmp_path / "pairs.tsv").write_text("".join(rows))
        data = Data(path=f"{tmp_path}/pairs.tsv", fields=("source=0:text", "target=1:text"), context=20, batch_size=8)
        experiment = dataclasses.replace(experiment, data=dataclasses.replace(data, order=Buckets((8, 12, 20))))
    sigterm_at(3)
    with pytest.raises(UserError, match="SIGTERM at step 3, saved"):
        genjax.train(experiment, tmp_path / "run")
    monkeypatch.undo()
    genjax.train(experiment, tmp_path / "run")
    genjax.train(experiment, tmp_path / "whole")
    state = state_of(tmp_path / "run")
    assert name != "lstm" or any(np.any(array) for array in jax.tree.leaves(state.model_state))
    chex.assert_trees_all_equal(state, state_of(tmp_path / "whole"))


def test_restored_parameters_give_the_samples_that_were_drawn(whole):
    model, params, state = genjax.restore(whole("vae-conditional"))
    raw = genjax.restore(whole("vae-conditional"), ema=False)[1]
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(params, raw)
    conditions = {"index": np.arange(4), "label": np.arange(4)}
    out = model.sample(params, state, jax.random.key(0), conditions, model.Options())
    assert out["image"].shape == (4, 8, 8, 1)


def test_a_torn_newest_checkpoint_is_reported_and_the_one_before_used(whole, tmp_path, capfd):
    run = shutil.copytree(whole("vae-conditional"), tmp_path / "run")
    torn = [p for p in (run / "checkpoints" / "6" / "state").rglob("*") if p.is_file()]
    for path in torn:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    genjax.train(short("vae-conditional"), run, recipe="vae-conditional")
    said = capfd.readouterr().err
    assert "checkpoint of step 6 does not load" in said and "resuming" in said and "at step 4" in said
    chex.assert_trees_all_equal(state_of(run), state_of(whole("vae-conditional")))


@pytest.mark.parametrize("part", ["metrics", "."])
def test_an_emptied_newest_checkpoint_is_set_aside(part, whole, tmp_path, capfd):
    run = shutil.copytree(whole("vae-conditional", eval_every=2), tmp_path / "run")
    for path in (run / "checkpoints" / "6" / part).rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert int(state_of(run).step) == 4
    assert "checkpoint of step 6" in capfd.readouterr().err
    genjax.train(short("vae-conditional", eval_every=2), run, recipe="vae-conditional")
    assert "at step 4" in capfd.readouterr().err
    assert int(state_of(run).step) == 6
    assert (run / "checkpoints" / "6.unreadable").is_dir()


def test_when_no_checkpoint_loads_it_says_so_and_deletes_nothing(whole, tmp_path):
    run = shutil.copytree(whole("vae-conditional"), tmp_path / "run")
    for path in (run / "checkpoints").rglob("*"):
        if path.is_file() and "state" in path.parts:
            path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the checkpoints"):
        genjax.train(short("vae-conditional"), run, recipe="vae-conditional")
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"4", "6"}


def test_a_run_stopped_behind_its_last_checkpoint_is_completed(tmp_path, monkeypatch):
    run, experiment = tmp_path / "run", short("vae-conditional", steps=2)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Outputs, "samples", killed)
        genjax.train(experiment, run)
    assert not (run / "weights.safetensors").exists()
    measured = genjax.train(experiment, run)
    assert "elbo" in measured
    assert (run / "weights.safetensors").exists() and list((run / "samples").glob("2*.png"))
    assert genjax.train(experiment, run) == pytest.approx(measured)


def test_a_run_opens_where_its_batch_does_not_divide_the_devices():
    experiment = TINY["vae-conditional"]
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, batch_size=12))
    assert restore._fitting_mesh(experiment) == (Mesh(), jax.devices()[:4])
    fits = dataclasses.replace(experiment, mesh=Mesh(data=2, fsdp=2, tensor=2))
    assert restore._fitting_mesh(fits) == (fits.mesh, jax.devices())


def test_another_configuration_is_refused_and_more_steps_are_not(whole, tmp_path):
    run = tmp_path / "run"
    genjax.train(short("vae-conditional", steps=2), run)
    other = short("vae-conditional", seed=1)
    other = dataclasses.replace(other, optim=dataclasses.replace(other.optim, learning_rate=0.5))
    with pytest.raises(UserError, match=r"optim.learning_rate: 0.001 there, 0.5 here; train.seed: 0 there, 1 here"):
        genjax.train(other, run)
    genjax.train(short("vae-conditional", steps=6, grad_accumulation=1, log_every=3), run)
    assert int(state_of(run).step) == 6
    with pytest.raises(UserError, match="can grow, not shrink"):
        genjax.train(short("vae-conditional", steps=4), run)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    run = tmp_path / "run"
    experiment = short("vae-conditional", steps=4)
    genjax.train(experiment, run)
    good = state_of(run)
    config = json.loads((run / "config.json").read_text())
    config["optim"]["learning_rate"] = 1e30
    (run / "config.json").write_text(json.dumps(config))
    broken = dataclasses.replace(experiment, optim=dataclasses.replace(experiment.optim, learning_rate=1e30))
    broken = dataclasses.replace(broken, train=dataclasses.replace(broken.train, steps=20, checkpoint_every=1))
    with pytest.raises(UserError, match=r"step \d+, turn elbo: .* is (nan|inf); the checkpoint of step \d is kept"):
        genjax.train(broken, run)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state_of(run).params))
    chex.assert_trees_all_equal(state_of(run, "4"), good)


def test_entries_start_from_a_run_or_a_file(whole, tmp_path):
    source = whole("vae-conditional")
    trained = genjax.restore(source)[1]
    for place in (source, source / "weights.safetensors"):
        run = tmp_path / place.name
        frozen = short("vae-conditional", steps=2, init_from=(f"decoder={place}",), freeze=("decoder",))
        genjax.train(frozen, run)
        params = genjax.restore(run, ema=False)[1]
        chex.assert_trees_all_equal(params["decoder"], trained["decoder"])
        with pytest.raises(AssertionError):
            chex.assert_trees_all_equal(params["encoder"], trained["encoder"])
    with pytest.raises(UserError, match="it has decoder, encoder, and the entries here are"):
        genjax.train(short("gan", init_from=(str(source),)), tmp_path / "gan")
    with pytest.raises(UserError, match="has shape"):
        wide = short("vae-conditional", init_from=(f"decoder={source}",))
        wide = dataclasses.replace(wide, model=dataclasses.replace(wide.model, network=DenseAutoencoder(widths=(8,))))
        genjax.train(wide, tmp_path / "other")


def test_the_best_checkpoint_is_kept(tmp_path, monkeypatch):
    values = iter([-3.0, -1.0, -5.0, -4.0, -6.0, -7.0])
    monkeypatch.setattr(loop.Evaluation, "__call__", lambda *_: {"elbo": next(values)})
    run = tmp_path / "run"
    genjax.train(short("vae-conditional", checkpoint_every=1, eval_every=1, keep=1), run)
    assert {int(path.name) for path in (run / "checkpoints").iterdir()} == {2, 6}
    assert int(state_of(run, "best").step) == 2


def test_a_full_disk_is_one_line_and_what_was_saved_stays(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "genjax.cli", "train", "vae_digits", "--out", str(run), "--data.batch-size", "8"]
    command += ["--train.steps", "4", "--train.eval-every", "0", "--train.sample-every", "0", "--eval.examples", "8"]
    command += ["--model.network.widths", "8", "--eval.grid", "4"]
    subprocess.run(command, check=True, capture_output=True)
    # A limit on the size of files stands in for a full disk: every larger write fails.
    limited = f"ulimit -f 20; exec {' '.join(command)} --train.steps 8"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("genjax: cannot write to")
    assert "Traceback" not in result.stderr
    assert int(state_of(run).step) == 4


@pytest.mark.slow
@pytest.mark.parametrize("size", ["size=16k", "size=400k", "size=2m,nr_inodes=40"])
def test_a_file_system_that_fills_up_ends_a_run_with_one_line(tmp_path, size):
    """At the first checkpoint, a later one, and without a place for another file."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    command = [sys.executable, "-m", "genjax.cli", "train", "vae_digits", "--out", str(tmp_path / "run")]
    command += (
        "--data.batch-size 8 --model.network.widths 64 --eval.examples 8 --eval.grid 4 --train.log-every 1".split()
    )
    command += "--train.steps 60 --train.checkpoint-every 3 --train.keep 1000 --train.sample-every 0".split()
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].endswith("checkpoints': No space left on device")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and not a run directory"):
        genjax.train(short("vae-conditional"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
