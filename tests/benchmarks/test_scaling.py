"""scaling.py: exponents, marks, and the table and plot of what was measured."""

import json
import subprocess
import sys

import probes
import pytest
import scaling

AXIS = scaling.Axis("gpt", "context", (128, 256), 1, 1)


def entry(*costs):
    return {"points": [{"size": 10**i, "seconds": cost, "mib": 1.0} for i, cost in enumerate(costs)]}


def test_exponent_is_the_last_slope():
    assert scaling.exponent([1, 10, 100], [1.0, 5.0, 500.0]) == pytest.approx(2.0)
    assert scaling.exponent([1, 10], [0.0, 0.0]) == 0.0


def test_what_grows_too_fast_is_marked():
    assert scaling.grown(AXIS, entry(1.0, 10.0, 100.0))["time"] == (pytest.approx(1.0), 1, False)
    assert scaling.grown(AXIS, entry(1.0, 10.0, 200.0))["time"][2]
    assert scaling.MARK in scaling.row(AXIS, entry(1.0, 10.0, 200.0))


def test_a_probe_is_a_process_and_its_failure_a_line(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(scaling, "AXES", (scaling.Axis("gpt", "layers", (1, 2), 1, 1), AXIS._replace(sizes=(0, 1))))
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--out", str(tmp_path)])
    scaling.main()
    kept = json.loads((tmp_path / "scaling.json").read_text())
    assert [point["size"] for point in kept["axes"]["gpt layers"]["points"]] == [1, 2]
    assert all(point["seconds"] > 0 and point["mib"] > 0 for point in kept["axes"]["gpt layers"]["points"])
    assert "gpt context" not in kept["axes"] and "gpt context 0:" in capfd.readouterr().err
    assert (tmp_path / "scaling.png").stat().st_size > 0 and "gpt: layers" in (tmp_path / "scaling.md").read_text()


def test_a_killed_probe_is_told_by_its_status_and_nothing_is_plotted(monkeypatch, capfd, tmp_path):
    killed = subprocess.CompletedProcess([], -9, stdout="", stderr="")
    monkeypatch.setattr(scaling.subprocess, "run", lambda *_, **__: killed)
    about = {"command": "", "commit": "", "versions": {"jax": ""}}
    monkeypatch.setattr(scaling.records, "provenance", lambda *_: about)
    monkeypatch.setattr(scaling, "AXES", (AXIS,))
    monkeypatch.setattr(sys, "argv", ["scaling.py", "--out", str(tmp_path)])
    scaling.main()
    told = capfd.readouterr().err.splitlines()
    assert told == ["gpt context 128: exit status -9", "no plot: no axis could be measured"]
    assert not (tmp_path / "scaling.png").exists()


def test_start_reads_no_whole_corpus(tmp_path):
    _, mib = probes.tokens(tmp_path, 10**10)
    assert mib < 200  # of 10 or 20 GB
