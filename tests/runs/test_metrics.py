"""The metrics of a run: records on disk, TensorBoard events, W&B."""

import json
import math
import struct
import sys
import types

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.runs.metrics import MetricsWriter, read_metrics


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def write(out, records, **options):
    writer = MetricsWriter(out, tensorboard=False, **options)
    for step, metrics in records:
        writer.write(step, metrics)
    writer.close()


def test_records_survive_exactly(tmp_path):
    write(tmp_path, [(1, {"elbo/loss": 0.1}), (2, {"elbo/loss": np.float32(1 / 3), "lr/encoder": 1e-3})])
    assert read_metrics(tmp_path) == [
        {"step": 1, "elbo/loss": 0.1},
        {"step": 2, "elbo/loss": float(np.float32(1 / 3)), "lr/encoder": 1e-3},
    ]
    assert read_metrics(tmp_path / "elsewhere") == []


def test_a_record_is_on_disk_at_once_and_is_strict_json(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(3, {"a/loss": math.nan, "b/loss": math.inf, "c/loss": 2.0})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    writer.close()
    assert record == {"step": 3, "a/loss": None, "b/loss": None, "c/loss": 2.0}


def test_a_resumed_run_has_each_step_once(tmp_path):
    write(tmp_path, [(step, {"loss": float(step)}) for step in (10, 20, 30)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # killed while writing
    assert [record["step"] for record in read_metrics(tmp_path)] == [10, 20, 30]
    write(tmp_path, [(30, {"loss": -1.0})], resume_step=20)
    assert read_metrics(tmp_path) == [{"step": s, "loss": v} for s, v in ((10, 10.0), (20, 20.0), (30, -1.0))]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_without_a_step_to_resume_from_only_the_torn_line_goes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    write(tmp_path, [(3, {})])
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3}]


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1.0}', "\x00\x00"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(UserError, match="line 2"):
        read_metrics(tmp_path)


def tensorboard_scalars(folder):
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("*tfevents*")
    data, scalars = file.read_bytes(), []
    while data:  # a record: length (8 bytes), its checksum (4), the event, its checksum (4)
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return scalars


def test_tensorboard_gets_the_same_numbers(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write(5, {"elbo/loss": 2.5, "validation/loss": 3.0})
    writer.close()
    assert tensorboard_scalars(tmp_path / "tensorboard") == [
        (5, "elbo/loss", 2.5),
        (5, "validation/loss", 3.0),
    ]


def test_wandb_only_where_it_is_asked_for(tmp_path, monkeypatch):
    logged = []
    run = types.SimpleNamespace(log=lambda values, step: logged.append((step, values)), finish=lambda: None)
    fake = types.SimpleNamespace(init=lambda **options: logged.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_API_KEY", "a key alone asks for nothing")
    write(tmp_path, [(1, {"loss": 1.0})])
    assert logged == []
    (tmp_path / "config.json").write_text('{"recipe": "vae"}')
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    write(tmp_path, [(2, {"loss": 2.0})])
    assert logged == [
        {"dir": str(tmp_path), "name": tmp_path.name, "config": {"recipe": "vae"}},
        (2, {"loss": 2.0}),
    ]
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if not installed
    with pytest.raises(UserError, match="wandb is missing"):
        MetricsWriter(tmp_path)
