"""What a record says of the devices: MFU and memory where their peak is known, nothing on a CPU."""

import dataclasses
from types import SimpleNamespace

import pytest
from systems import TINY, engine

import genjax
from genjax.engine.flops import model_flops
from genjax.orders import Shape
from genjax.runs.directory import load
from genjax.runs.metrics import read_metrics
from genjax.runtime import devices
from genjax.training import utilization


def trained(out):
    experiment = TINY["vae-conditional"]
    train = dataclasses.replace(experiment.train, steps=4, log_every=2, eval_every=0, sample_every=0)
    genjax.train(dataclasses.replace(experiment, train=train), out)
    return [record for record in read_metrics(out) if "data_wait_fraction" in record]


def test_of_a_cpu_nothing_is_said(tmp_path):
    assert all(not {"mfu", "peak_memory_bytes"} & record.keys() for record in trained(tmp_path / "run"))


def test_mfu_is_flops_over_peak_and_the_report_shows_it(tmp_path, monkeypatch):
    monkeypatch.setitem(devices.KINDS, "cpu", devices.Device(1e12, 1, 1.0, 1.0))
    monkeypatch.setattr(utilization, "peak_memory", lambda: (12345, "device"))
    records = trained(tmp_path / "run")
    experiment, spec = load(tmp_path / "run")[:2]
    flops = model_flops(experiment, spec)
    assert len(records) == 2 and flops > 0
    for record in records:
        assert record["peak_memory_bytes"] == 12345
        assert record["mfu"] == pytest.approx(flops * record["steps_per_second"] / 8e12)  # eight simulated devices
    page = (tmp_path / "run" / "report.html").read_text()
    assert "MFU (median)" in page and "MFU: the share" in page


def test_batches_of_several_shapes_have_no_mfu(monkeypatch):
    monkeypatch.setitem(devices.KINDS, "cpu", devices.Device(1e12, 1, 1.0, 1.0))
    monkeypatch.setattr(utilization, "peak_memory", lambda: (12345, "device"))
    dataset = SimpleNamespace(shapes=lambda size: (Shape(8, {"a": 8}), Shape(4, {"a": 16})))
    assert utilization.Utilization(engine("vae-conditional"), dataset)(2.0) == {"peak_memory_bytes": 12345}
