"""What is due after which step."""

import pytest

from genjax.experiment import Train
from genjax.training.schedule import next_samples, samples_due, steps_of_call


def train(**given):
    return Train(eval_every=0, checkpoint_every=0, **given)


@pytest.mark.parametrize(
    ("every", "steps", "samples"),
    [
        (16, 40, [2, 16, 32, 40]),
        (1, 3, [1, 2, 3]),
        (4, 9, [4, 8, 9]),
        (0, 9, [9]),
        (80, 30, [1, 10, 30]),
        (1000, 2500, [15, 125, 1000, 2000, 2500]),
    ],
)
def test_samples_come_early_then_at_their_interval_and_at_the_end(every, steps, samples):
    run = train(steps=steps, sample_every=every)
    assert [step for step in range(1, steps + 1) if samples_due(step, run) or step == steps] == samples
    for step in range(steps):
        assert next_samples(step, run) == min(due for due in samples if due > step)


def test_a_call_ends_at_samples_and_early_ones_make_no_call_of_another_size():
    run, step, ends = train(steps=2500, sample_every=1000, steps_per_call=4), 0, []
    while step < run.steps:
        assert steps_of_call(step, run) == 4
        step += 4
        ends += [step] * samples_due(step, run)
    assert ends == [12, 124, 1000, 2000]
    run, step, ends = train(steps=40, sample_every=16, steps_per_call=100), 0, []
    while step < run.steps:
        step += steps_of_call(step, run)
        ends.append(step)
    assert ends == [16, 32, 40]
