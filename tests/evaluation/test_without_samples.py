"""A system that makes nothing, such as a classifier, is trained, measured and reported like any other."""

import json

import pytest
from evaluation.doubles import Plain

import genjax
from genjax import cli
from genjax.experiment import Data, Eval, Experiment, Task, Train
from genjax.registry import register

register(Plain)


def test_it_trains_to_its_end_and_says_what_it_lacks(tmp_path, capsys):
    out = tmp_path / "run"
    tasks = {"seen": Task(split="train", examples=16)}
    experiment = Experiment(
        Plain(), Data(source="digits", batch_size=16), train=Train(steps=2, log_every=1), eval=Eval(32, tasks=tasks)
    )
    metrics = genjax.train(experiment, out)
    assert (metrics["count"], metrics["seen/count"]) == (32, 16) and "nothing" not in metrics
    assert (out / "report.html").exists() and not list((out / "samples").glob("*"))
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert any(record.get("validation/seen/share") == pytest.approx(1.2) for record in records)
    for command, status, said in (
        (["sample", out], 1, "is a run of Plain, which makes no samples"),
        (["eval", out, "--metrics", "swd"], 2, "swd compares samples with data, and Plain makes none"),
        (["encode", out], 1, "needs a run of a first stage"),
        (["eval", out], 0, "seen/share"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            cli.main([str(argument) for argument in command])
        assert exit.value.code == status and said in "".join(capsys.readouterr())
