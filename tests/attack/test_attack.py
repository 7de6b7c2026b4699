"""A short attack at a fixed seed; `attack.py` runs longer ones by hand."""

import pytest
from attack.attack import run


@pytest.mark.slow
def test_what_comes_from_outside_is_withstood():
    trials, failures = run(260, seed=1, seconds=240)
    assert trials > 60 and not failures, "\n\n".join(failures)
