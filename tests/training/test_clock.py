"""The loop's account of its time: what it waits for, and that waits behind a running step cost nothing."""

import dataclasses
import json
import time

import jax
import jax.numpy as jnp
import pytest
from systems import TINY, SlowSource

from genjax import data
from genjax.engine.engine import Engine
from genjax.runs.check import resolve
from genjax.runs.metrics import read_metrics
from genjax.training import clock as clocks
from genjax.training.clock import Clock
from genjax.training.loop import run_loop


class Result:
    """Stands for an array that the device has computed at a given time."""

    def __init__(self, finished: float):
        self.finished = finished

    def is_ready(self):
        return time.monotonic() >= self.finished

    def block_until_ready(self):
        time.sleep(max(0.0, self.finished - time.monotonic()))


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.close()


def test_only_the_part_of_a_wait_that_no_step_hides_counts(clock):
    clock.watch(Result(time.monotonic() + 0.2))
    with clock("data"):
        time.sleep(0.05)  # behind the step
    assert clock.seconds["data"] == 0.0
    with clock("data"):
        time.sleep(0.4)
    assert 0.15 < clock.seconds["data"] <= 0.3
    with clock("evaluate"):
        time.sleep(0.1)
    assert clock.last["evaluate"] >= 0.1
    with clock("evaluate"):
        pass
    assert clock.last["evaluate"] < 0.1 <= clock.seconds["evaluate"]


def test_the_parts_are_the_whole_and_fractions_are_of_training(clock, monkeypatch):
    now = clock._start
    monkeypatch.setattr(clocks, "monotonic", lambda: now)
    for part, seconds in (("data", 1.0), ("compile", 50.0), (None, 3.0)):
        if part is None:
            now += seconds
        else:
            with clock(part):
                now += seconds
    assert clock.parts() == pytest.approx({"steps": 3.0, "data": 1.0, "compile": 50.0})
    assert clock.data_wait_fraction() == pytest.approx(0.25)
    now += 4.0
    assert clock.data_wait_fraction() == 0.0  # since it was asked last


def busy(seconds: float) -> None:
    """Python code at work, which leaves the interpreter to no other thread for long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_waits_for_python_code_count_though_the_watcher_cannot_run(clock):
    step, x = jax.jit(lambda x: jnp.sin(x @ x)), jnp.ones((64, 64))  # far quicker than its data
    for _ in range(100):
        x = step(x)
        clock.watch(x)
        with clock("data"):
            busy(0.003)
    assert clock.seconds["data"] > 0.4 * 0.3


def test_python_code_behind_a_step_that_still_runs_costs_nothing(clock):
    step = jax.jit(lambda x: jax.lax.fori_loop(0, 200, lambda _, x: jnp.sin(x @ x), x))
    clock.watch(result := step(jnp.ones((512, 512))))
    with clock("data"):
        busy(0.05)
    assert not result.is_ready() and clock.seconds["data"] == 0.0


def test_a_slow_source_shows_in_the_metrics_and_the_environment(tmp_path):
    experiment = TINY["vae-conditional"]
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, workers=1))
    experiment = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, steps=10))
    dataset = data.load(experiment.data)
    engine = Engine(resolve(experiment, dataset.spec), dataset.spec)

    def seconds_of(name: str, delay: float) -> tuple[float, dict[str, float]]:
        slow = dataclasses.replace(dataset, train=SlowSource(dataset.train, delay))
        run_loop(engine, slow, tmp_path / name)
        records = read_metrics(tmp_path / name)
        assert {"seconds/evaluate", "seconds/sample", "seconds/checkpoint"} <= set().union(*records)
        fractions = [record["data_wait_fraction"] for record in records if "data_wait_fraction" in record]
        assert len(fractions) == 10 and all(0 <= fraction <= 1 for fraction in fractions)
        return fractions[-2], json.loads((tmp_path / name / "environment.json").read_text())["seconds"]

    slow, seconds = seconds_of("slow", 0.5)
    assert slow > 0.5 and seconds["data"] > 8 * 0.25  # less what is read during the steps
    _, quick = seconds_of("quick", 0.0)
    assert quick["data"] < seconds["data"] / 4
