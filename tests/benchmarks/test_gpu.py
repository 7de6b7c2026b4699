"""gpu.sh on a CPU, at tiny sizes: each part is in the record, as a measurement or an error; none ends the others."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gpu
import gpu_parts
import large
import pytest
import records
import report

SHELL = Path(gpu.__file__).with_name("gpu.sh")
LACKING = (
    "tyro",
    "grain",
    "tensorflow_datasets",
    "tensorboardX",
    "diffusers",
    "tokenizers",
)  # on such machines


def tiny(tmp_path: Path, *parts: str, seconds: int = 300) -> dict:
    """The record of some parts, in a Python that has none of LACKING."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({LACKING}))\n"  # an import of None is an ImportError
    )
    environment = {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "OUT": str(tmp_path),
    }
    command = [SHELL, "--tiny", "--seconds", str(seconds), "--parts", *parts]
    subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=seconds + 60)
    (file,) = tmp_path.glob("*.json")
    records.read_file(file)
    return json.loads(file.read_text())


def test_recipes_and_checks_are_measured_without_readers_and_without_a_command_line(tmp_path):
    record = tiny(tmp_path, "peaks", "gpt2_124m")
    assert not record["errors"]
    assert not any(record["checks"]["packages"][name] for name in LACKING)
    assert record["checks"]["peaks"]["matmul_flops_per_second"]["bfloat16"] > 0
    entry = record["recipes"]["gpt2_124m/bfloat16"]
    assert entry["tokens_per_second"] > 0 and entry["synthetic_data"] and entry["loop"] is None
    assert entry["command"].startswith("python benchmarks/gpu.sh --tiny")


@pytest.mark.slow
def test_all_other_parts_that_need_no_pytorch(tmp_path):
    parts = [name for name in gpu_parts.PARTS if not name.startswith("pair_")]
    record = tiny(tmp_path, *parts, seconds=590)
    assert not record["errors"]
    assert record["recipes"].keys() == {f"{name}/bfloat16" for name in large.NAMES}
    for case in record["checks"]["attention"]["cases"].values():
        for name, error in case["xla"]["error"].items():
            assert error < 0.02 * max(1, case["largest"][name])


def test_attention_on_two_sides_of_padding_agrees():
    found = gpu_parts.attention(tiny=True)["checks"]["attention"]
    assert found["cases"].keys() >= {"causal", "lengths", "window"}
    for case in found["cases"].values():
        for name, error in case["xla"]["error"].items():
            assert 0 < error < 0.02 * max(1, case["largest"][name])  # that of bfloat16


@pytest.mark.parametrize("name", large.NAMES)
def test_subjects_are_the_recipes_in_bfloat16_and_in_one_micro_batch(name):
    from genjax import load_experiment
    from genjax.runs.check import resolve

    subject, recipe = large.subject(name), load_experiment(name)
    assert (subject.experiment.train.precision, subject.experiment.train.grad_accumulation) == ("bfloat16", 1)
    assert subject.experiment.optim == recipe.optim
    resolve(subject.experiment, subject.spec)


def test_a_part_that_fails_or_takes_too_long_is_an_error_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def run(name, tiny, environment, folder, end):
        if name == "peaks":
            return {}, "it took more than 1 s"
        return {"hardware": {"cpu": "x", "cores": 1, "memory_gib": 1, "accelerator": None}, "checks": {name: 1}}, None

    monkeypatch.setattr(gpu, "in_a_process", run)
    assert gpu.main(["--parts", "peaks", "attention", "--out", str(tmp_path)]) == 1
    (file,) = tmp_path.glob("*.json")
    record = json.loads(file.read_text())
    assert record["errors"] == {"peaks": "it took more than 1 s"}
    assert record["checks"].keys() == {"machine", "attention"} and record["seconds"].keys() == {
        "machine",
        "peaks",
        "attention",
    }
    assert "peaks: FAILED, it took more than 1 s" in capsys.readouterr().out
    report.page(records.read(tmp_path))


def test_a_process_is_ended_at_its_limit_and_its_last_words_are_kept(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\nprint('hard at work', flush=True)\ntime.sleep(60 * ('slow' in sys.argv))\n1 / 0\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(program))
    monkeypatch.setattr(gpu_parts, "PARTS", {"slow": (None, 11), "broken": (None, 11)})
    here = partial(gpu.in_a_process, tiny=False, environment=dict(os.environ), folder=tmp_path)
    found, error = here("broken", end=time.monotonic() + 99)
    assert not found and error.startswith("1: hard at work") and "ZeroDivisionError" in error
    begin = time.monotonic()
    found, error = here("slow", end=begin + 10.5)
    assert not found and error.startswith("it took more than 10 s: hard at work") and time.monotonic() - begin < 20
    assert here("slow", end=time.monotonic() + 5) == ({}, "no time was left")
