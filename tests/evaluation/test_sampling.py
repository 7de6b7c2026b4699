"""Any number of samples, in calls of one size."""

import types

import numpy as np
import pytest
from evaluation.doubles import PICTURES, Painter, PaintOptions, engine

from genjax.evaluation.conditions import conditions
from genjax.evaluation.sampling import draw
from genjax.experiment import Data, Experiment
from genjax.models.base import ROW, SampleOptions


@pytest.mark.parametrize(("num", "sizes"), [(40, [16, 16, 16]), (5, [5]), (16, [16])])
def test_a_call_draws_whole_rows(num, sizes):
    calls = []

    def sample(state, given, seed, options):
        calls.append(given["index"])
        return {"image": given["index"]}

    double = types.SimpleNamespace(experiment=Experiment(Painter(), Data(batch_size=12)), sample=sample)
    drawn = draw(double, None, {"index": np.arange(num)}, seed=0, options=SampleOptions())
    assert drawn["image"].tolist() == list(range(num)) and [len(call) for call in calls] == sizes
    assert (calls[-1][num % 16 or 16 :] == num - 1).all()  # the last call repeats its last row


def test_a_sample_is_the_same_however_many_are_drawn():
    built = engine(Painter(), PICTURES, batch_size=ROW)
    state = built.init()
    many, few = (
        draw(built, state, conditions(built.model, PaintOptions(), PICTURES, None, None, num)[0], seed=3,
             options=PaintOptions())["image"]
        for num in (19, 3)
    )  # fmt: skip
    assert many.shape == (19, 8, 8, 1)
    np.testing.assert_allclose(many[:3], few, atol=1e-6)
