"""Checkpoints: which one is taken, and that reading leaves a run as it was."""

import contextlib
import os
import shutil

import chex
import jax
import pytest
from runs.trained import SPEC, Normed, engine, tree_files, write_run

from genjax.engine.engine import Engine
from genjax.errors import UserError
from genjax.registry import KINDS
from genjax.runs import checkpoint
from genjax.runs.checkpoint import Checkpoints, find, restore, steps
from genjax.runs.restore import open_run
from genjax.runtime import distributed

BEST = ("loss", "min")


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setitem(KINDS, "Normed", Normed)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", Normed(), {1: {"loss": 3.0}, 2: {"loss": 1.0}, 3: {"loss": 2.0}})


def tear(run, step: int, file: str = "metrics/metrics") -> None:
    (run / "checkpoints" / str(step) / file).write_bytes(b"{")


def test_a_checkpoint_is_named_latest_best_or_by_its_step(run, tmp_path):
    assert steps(run) == [1, 2, 3]
    assert [find(run, which, BEST) for which in ("latest", "best", "1")] == [None, 2, 1]
    assert find(run, "best", ("loss", "max")) == 1
    for which, words in (("7", "there is no checkpoint '7'"), ("newest", "latest, best, 1, 2, 3")):
        with pytest.raises(UserError, match=words):
            find(run, which, BEST)
    with pytest.raises(UserError, match="has a measured elbo: use latest"):
        find(run, "best", ("elbo", "max"))
    with pytest.raises(UserError, match="has no checkpoints yet"):
        find(tmp_path, "latest", BEST)


@pytest.mark.parametrize("file", ["metrics/metrics", "state/_METADATA"])
def test_readers_pass_over_a_torn_checkpoint_say_so_and_write_nothing(run, file, capsys):
    tear(run, 3, file)
    before = tree_files(run)
    for _ in range(2):  # the second reader finds what the first one found
        assert int(open_run(run).state.step) == 2
        assert "the checkpoint of step 3" in capsys.readouterr().err
    assert tree_files(run) == before
    with pytest.raises(UserError, match="the checkpoint of step 3 does not load"):
        open_run(run, "3")
    assert int(open_run(run, "best").state.step) == 2


def test_a_flipped_byte_of_an_array_makes_a_torn_checkpoint(tmp_path):
    model = Normed(width=500)
    run = write_run(tmp_path / "run", model, {1: {}, 2: {}}, noise=True)
    abstract = engine(model).abstract_state
    good = jax.device_get(restore(run, abstract, pytest.fail))
    file = max((run / "checkpoints" / "2" / "state").rglob("*"), key=lambda file: file.stat().st_size)
    whole, said = file.read_bytes(), []
    for place in range(7, len(whole), len(whole) // 60):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        state = restore(run, abstract, said.append)
        if int(state.step) == 2:
            chex.assert_trees_all_equal(jax.device_get(state), good)
    assert any("its array" in line and "is not what was saved" in line for line in said)
    assert all(line.startswith("the checkpoint of step 2 does not load (") for line in said)
    (run / "checkpoints" / "2" / "checks" / "process_0.json").write_bytes(b"{")
    assert int(restore(run, abstract, said.append).step) == 1 and "its checksums cannot be read" in said[-1]


def test_a_checkpoint_loads_on_another_mesh_and_its_checksums_fit(run):
    wide = Engine(engine(Normed()).experiment, SPEC, jax.devices()[:8])
    assert int(restore(run, wide.abstract_state, pytest.fail).step) == 3


def test_a_reader_takes_the_next_one_while_the_trainer_deletes(run, monkeypatch):
    """What it was to read is gone, and a newer one has come."""
    load, folder = checkpoint.ocp.load, run / "checkpoints"

    def slow(place, *arguments):
        if place.name == "3":
            for step in ("1", "2"):
                shutil.rmtree(folder / step)
            (folder / "3").rename(folder / "5")
        return load(place, *arguments)

    monkeypatch.setattr(checkpoint.ocp, "load", slow)
    assert int(restore(run, engine(Normed()).abstract_state, pytest.fail).step) == 3


def test_the_log_of_steps_without_a_record_comes_back(run):
    state = restore(run, engine(Normed()).abstract_state, pytest.fail)
    with Checkpoints(run, 9, BEST) as checkpoints:
        checkpoints.save(7, state, {}, {}, log={"learn/loss": [1.5, 0.1]}, wait=True)
    assert checkpoint.log(run, 7) == {"learn/loss": [1.5, 0.1]}
    assert checkpoint.log(run, 3) == checkpoint.log(run, 99) == {}


def test_where_none_loads_it_is_an_error(run):
    for step in steps(run):
        tear(run, step)
    with pytest.raises(UserError, match="none of the checkpoints"):
        open_run(run)


def test_training_sets_torn_checkpoints_aside(run):
    tear(run, 3)
    said = []
    with contextlib.closing(Checkpoints(run, 9, BEST)) as checkpoints:
        state = checkpoints.restore(engine(Normed()).abstract_state, said.append)
        assert int(state.step) == 2 and checkpoints.steps == steps(run) == [1, 2]
        checkpoints.save(3, jax.tree.map(lambda x: x + 1, state), {}, {"loss": 0.0}, wait=True)
    assert said == ["the checkpoint of step 3 is torn: set aside as '3.unreadable'"]
    assert steps(run) == [1, 2, 3] and find(run, "best", BEST) == 3


DEEP = "[" * 100_000


@pytest.mark.parametrize("file", ["metrics/metrics", "checks/process_0.json"])
@pytest.mark.parametrize(
    "content", [DEEP, '{"loss": "x"}', '{"loss": NaN}', '{"checksums": {"a": "x"}}', "[1]", "\xff"]
)
def test_what_stands_beside_the_arrays_is_read_with_care(run, file, content):
    (run / "checkpoints" / "3" / file).write_text(content, encoding="latin-1")
    said = []
    assert int(restore(run, engine(Normed()).abstract_state, said.append).step) == 2
    assert len(said) == 1 and "step 3 does not load" in said[0] and "passed over" in said[0]
    assert find(run, "best", BEST) in (1, 2, 3) and checkpoint.log(run, 3) == {}
    Checkpoints(run, 9, BEST).close()


def test_nobody_waits_for_a_pipe_in_a_checkpoint(run):
    for name in ("_CHECKPOINT_METADATA", "state/manifest.ocdbt"):
        file = run / "checkpoints" / "3" / name
        file.unlink()
        os.mkfifo(file)
        said = []
        assert int(restore(run, engine(Normed()).abstract_state, said.append).step) == 2
        assert said[0].startswith("the checkpoint of step 3 does not load (") and "is not a regular file" in said[0]
    with contextlib.closing(Checkpoints(run, 9, BEST)) as checkpoints:
        assert checkpoints.steps == [1, 2]


def test_an_empty_run_has_nothing_to_restore(tmp_path):
    assert restore(tmp_path, engine(Normed()).abstract_state, print) is None


def test_a_lost_process_is_not_a_full_disk(monkeypatch):
    said = "Barrier timed out: task 1 is not there"
    with pytest.raises(UserError, match=f"cannot write to 'run': {said}"), checkpoint._disk_errors("run"):
        raise ValueError(said)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(distributed.DeviceError, match="another process was lost"), checkpoint._disk_errors("run"):
        raise ValueError(said)
    with pytest.raises(UserError, match="No space left on device"), checkpoint._disk_errors("run"):
        raise OSError(28, "No space left on device")
