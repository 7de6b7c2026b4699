"""A short attack at a fixed seed; `attack.py` runs longer ones by hand."""

import pytest
from attack.attack import run

TRIALS = 102  # six of each attack: about four minutes on 2 cores


@pytest.mark.slow
def test_what_comes_from_outside_is_withstood():
    failures = run(TRIALS, seed=1)
    assert not failures, "\n\n".join(failures)
