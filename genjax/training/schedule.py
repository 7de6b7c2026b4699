"""What is due after which step: a function of the step alone, so that a resumed run does what the unbroken one does."""

from genjax.experiment import Train

__all__ = ["due", "next_samples", "samples_due", "steps_of_call"]

EARLY = (64, 8)  # the first samples come after these parts of the interval: a mistake is seen in the first minute


def due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def samples_due(step: int, train: Train) -> bool:
    return due(step, train.sample_every) or step in _early(train)


def next_samples(step: int, train: Train) -> int:
    """The first step after `step` at which samples are drawn."""
    every = train.sample_every or train.steps
    regular = step - step % every + every
    return min(train.steps, regular, *(early for early in _early(train) if step < early))


def steps_of_call(step: int, train: Train) -> int:
    """How many steps the next call takes: up to `train.steps_per_call`, not past the next event."""
    left = [every - step % every for every in (train.eval_every, train.checkpoint_every) if every]
    return min(train.steps_per_call, next_samples(step, train) - step, *left)


def _early(train: Train) -> list[int]:
    """In whole calls, since each size of a call is a program to compile."""
    call, every = train.steps_per_call, train.sample_every
    steps = [max(every // part // call, 1) * call for part in EARLY if every >= part]
    return [step for step in steps if step < every]
