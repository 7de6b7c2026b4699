"""Warnings of libtpu on machines without a TPU."""

import os

import pytest

from genjax.runtime import libtpu


@pytest.mark.parametrize("chip", [True, False])
def test_only_without_a_tpu_is_libtpu_told_of_one(monkeypatch, tmp_path, chip):
    environ = {"TPU_MIN_LOG_LEVEL": "0"}
    monkeypatch.setattr(os, "environ", environ)
    monkeypatch.setattr(libtpu, "CHIPS", (f"{tmp_path}/accel*",))
    if chip:
        (tmp_path / "accel0").touch()
    libtpu.hush_without_tpu()
    assert ("TPU_WORKER_HOSTNAMES" in environ) != chip and environ["TPU_MIN_LOG_LEVEL"] == "0"
