"""TensorBoard and W&B get what they can take, and no run waits for them or fails with them."""

import threading
import time

import pytest

from genjax.runs import metrics, sinks
from genjax.runs.metrics import MetricsWriter, read_metrics
from genjax.runs.sinks import Aside


class Broken:
    """A disk that is full from the second record on."""

    def __init__(self, *_):
        self.written = []

    def write(self, step, values):
        if self.written:
            raise OSError(28, "No space left on device")
        self.written.append(step)

    def close(self):
        raise AssertionError("a sink that has failed is left alone")


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_a_sink_that_fails_is_given_up_and_said_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(metrics, "TensorBoard", Broken)
    writer = MetricsWriter(tmp_path, say=said.append)
    for step in range(50):
        writer.write(step, {"loss": 1.0})
        time.sleep(0.001)
    writer.close()
    assert said == ["TensorBoard gets no more metrics: [Errno 28] No space left on device"]
    assert len(read_metrics(tmp_path)) == 50


def test_a_sink_that_cannot_be_made_fails_no_run(tmp_path):
    said = []
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    writer = MetricsWriter(tmp_path, say=said.append)
    writer.write(1, {"loss": 1.0})
    writer.close()
    assert len(said) == 1 and said[0].startswith("TensorBoard gets no more metrics")


def test_nobody_waits_for_a_sink_that_hangs(monkeypatch):
    monkeypatch.setattr(sinks, "WAITING", 5)
    monkeypatch.setattr(sinks, "CLOSING", 0.1)
    forever, said = threading.Event(), []

    class Hanging(Broken):
        def write(self, step, values):
            forever.wait()

    begin, aside = time.monotonic(), Aside("W&B", Hanging, said.append)
    for step in range(20):
        aside.write(step, {})
    aside.close()
    assert time.monotonic() - begin < 5 and said == ["W&B gets no more metrics: it is too slow"]
    forever.set()
