"""The mean of the newest checkpoints: of their parameters alone, in place of moving averages, or one line."""

import jax
import numpy as np
import pytest
from runs.trained import Normed, write_run

from genjax.engine.state import averaged
from genjax.errors import UsageError, UserError
from genjax.registry import KINDS
from genjax.runs.restore import open_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "Normed", Normed)
    return write_run(tmp_path / "run", Normed(), {1: {}, 2: {}, 3: {}, 7: {}}, ema_decay=0.9, keep=4)


def values(tree) -> set[float]:
    return {float(value) for leaf in jax.tree.leaves(tree) for value in np.unique(leaf)}


def test_the_newest_are_averaged(run):
    params, state = averaged(open_run(run, average=3).state)
    assert values(params) == {4.0} and values(state) == {7.0}
    assert values(averaged(open_run(run, "3", average=2).state)[0]) == {2.5}
    assert values(averaged(open_run(run, average=1).state)[0]) == {7.0}


def test_more_than_there_are_is_refused(run):
    with pytest.raises(UserError, match=r"--average 5: .* has 4 checkpoints up to step 7; train with --train\.keep 5"):
        open_run(run, average=5)
    with pytest.raises(UsageError, match="--average 0: must be at least 1"):
        open_run(run, average=0)
