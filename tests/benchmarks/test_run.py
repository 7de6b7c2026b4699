"""run.py: each measurement by itself, kept at once; what fails is one line and no end of the others."""

import json
import os
import subprocess
import sys
import time

import load
import pytest
import records
import run

from genjax.errors import UserError


@pytest.fixture(autouse=True)
def this_machine(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # which main sets, and pytest then takes back
    monkeypatch.setattr(run, "keep_freed_memory", lambda: None)


def pair(name: str, precision: str) -> dict:
    if name == "vae":
        raise RuntimeError("no\nsuch kernel")
    if name == "data":
        raise UserError("no folder")
    fields = dict.fromkeys(("ours_per_second", "theirs_per_second", "ratio", "ratio_min", "ratio_max"), 1.0)
    return fields | {"unit": "images", "theirs": "PyTorch", "shapes": "none", "precision": precision}


def test_a_failing_pair_is_one_line_and_the_others_are_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "pair", pair)
    argv = ["--peers", "vae", "data", "gan", "--precision", "bfloat16", "--out", str(tmp_path)]
    assert run.main(argv) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["vae: RuntimeError: no such kernel", "data: no folder"]
    assert "gan/bfloat16: 1 images/s" in shown.out
    (record,) = records.read(tmp_path)
    assert record["peers"].keys() == {"gan/bfloat16"}
    command = record["peers"]["gan/bfloat16"]["command"]
    assert command.startswith("python benchmarks/run.py --peers vae data gan --precision bfloat16")


def test_a_recipe_runs_in_a_process_of_its_own(monkeypatch):
    def finished(command, **_):
        assert command[:5] == [sys.executable, "-m", "genjax.cli", "bench", "vae_digits"]
        with open(command[command.index("--json") + 1], "w") as file:
            json.dump({"steps": command[command.index("--steps") + 1]}, file)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(run.subprocess, "run", finished)
    assert run.recipe("vae_digits", 7) == {"steps": "7"}


def test_a_recipe_that_fails_gives_its_reason():
    with pytest.raises(UserError, match="unknown recipe 'vae_digit': did you mean vae_digits"):
        run.recipe("vae_digit", 7)


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="Linux only")
def test_other_programs_are_told_from_ours():
    before, end = load.now(), time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    after = load.now()
    assert after.own - before.own > 0.4  # with that child
    assert after.cores >= before.cores and load.others(before, after) >= 0.0


def test_cores_of_others():
    before = load.Times(wall=0.0, cores=100.0, own=10.0)
    assert load.others(before, load.Times(wall=10.0, cores=118.0, own=25.0)) == pytest.approx(0.3)
    assert load.others(before, load.Times(wall=10.0, cores=114.0, own=25.0)) == 0.0  # ticks are coarse
    assert load.others(None, None) is None


def test_a_damaged_record_of_today_stops_before_anything_is_measured(tmp_path, monkeypatch):
    file, _ = records.begun(tmp_path, records.hardware())
    file.write_text("{")
    monkeypatch.setattr(run, "pair", lambda *_: pytest.fail("was measured"))
    with pytest.raises(SystemExit, match=rf"{file.name}: not a benchmark record .*; remove it"):
        run.main(["--peers", "vae", "--out", str(tmp_path)])


def test_what_cannot_be_written_is_shown_and_the_others_are_measured(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "pair", pair)
    monkeypatch.setattr(records, "write", full)
    assert run.main(["--peers", "gan", "gru", "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert [line.split(": ")[:2] for line in shown.err.splitlines()] == [["gan", "OSError"], ["gru", "OSError"]]
    assert "gan" in shown.out and "gru" in shown.out
