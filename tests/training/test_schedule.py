"""What is due after which step."""

import pytest

from genjax.experiment import Train
from genjax.training.schedule import next_samples, samples_due, steps_of_call


@pytest.mark.parametrize(
    ("every", "steps", "samples"),
    [(16, 40, [2, 16, 32, 40]), (1, 3, [1, 2, 3]), (4, 9, [4, 8, 9]), (0, 9, [9]), (80, 30, [1, 10, 30])],
)
def test_samples_come_early_then_at_their_interval_and_at_the_end(every, steps, samples):
    train = Train(steps=steps, sample_every=every, eval_every=0, checkpoint_every=0, steps_per_call=100)
    assert [step for step in range(1, steps + 1) if samples_due(step, train) or step == steps] == samples
    step, ends = 0, []
    while step < steps:
        assert next_samples(step, train) == min(due for due in samples if due > step)
        step += steps_of_call(step, train)
        ends.append(step)
    assert ends == samples
