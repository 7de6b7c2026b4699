"""Any number of samples, in calls of one size."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from evaluation.doubles import IMAGE, PICTURES, Painter, PaintOptions, dataset, engine

from genjax.errors import UsageError, UserError
from genjax.evaluation.conditions import conditions
from genjax.evaluation.measure import Measure
from genjax.evaluation.sampling import draw, parts
from genjax.experiment import Data, Experiment
from genjax.models.base import ROW, SampleOptions
from genjax.spec import Image


@pytest.mark.parametrize(("num", "sizes"), [(40, [16, 16, 16]), (5, [5]), (16, [16])])
def test_a_call_draws_whole_rows(num, sizes):
    calls = []

    def sample(state, given, seed, options, only):
        calls.append(given["index"])
        return {"image": given["index"]}

    double = _double(sample)
    drawn = draw(double, None, {"index": np.arange(num)}, seed=0, options=SampleOptions())
    assert drawn["image"].tolist() == list(range(num)) and [len(call) for call in calls] == sizes
    assert (calls[-1][num % 16 or 16 :] == num - 1).all()  # the last call repeats its last row


def _double(sample) -> types.SimpleNamespace:
    experiment = Experiment(Painter(), Data(batch_size=12))
    return types.SimpleNamespace(
        experiment=experiment, sample=sample, sample_shapes=lambda _, given, *__: {"image": given["index"]}
    )


@pytest.mark.parametrize("most, room, sizes", [(None, 10**9, [40]), (16, 10**9, [16, 16, 8]), (None, 300, [32, 8])])
def test_many_samples_come_in_parts(most, room, sizes):
    double = _double(lambda state, given, seed, options, only: {"image": given["index"] + 1})
    conditions = {"index": np.arange(40)}
    drawn = list(parts(double, None, conditions, seed=0, options=SampleOptions(), most=most, room=room))
    assert [len(outputs["image"]) for outputs, _ in drawn] == sizes
    assert all((outputs["image"] == rows["index"] + 1).all() for outputs, rows in drawn)
    assert np.concatenate([rows["index"] for _, rows in drawn]).tolist() == list(range(40))


def test_samples_of_a_call_that_do_not_fit_are_not_drawn():
    double = _double(None)
    double.sample_shapes = lambda *_: {"image": jax.ShapeDtypeStruct((16, 10**12), np.float32)}
    with pytest.raises(UserError, match="16 samples at once would take 64 TB"):
        draw(double, None, {"index": np.arange(40)}, seed=0, options=SampleOptions())


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


@pytest.mark.parametrize(
    "outputs, message",
    [
        (lambda spec: {}, "names no field"),
        (lambda spec: {"picture": spec.fields["image"]}, "promises samples of `picture`, and returns image"),
        (lambda spec: {"image": Image(3, 3, 1)}, r"of the shape .*, and must return \(8, 3, 3, 1\)"),
    ],
)
def test_samples_that_are_not_what_the_model_promises_are_told_before_any_is_drawn(outputs, message, monkeypatch):
    monkeypatch.setattr(Painter, "outputs", lambda self, spec: outputs(spec))
    built = engine(Painter(), PICTURES, batch_size=ROW)
    given, options = conditions(built.model, PaintOptions(), PICTURES, None, None, ROW)
    with pytest.raises(UsageError, match=message):
        draw(built, built.init(), given, seed=0, options=options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mirror(Painter):
    """Images and their negatives, which the host makes: `made` holds how many at a time."""

    made = []

    def outputs(self, spec):
        return {"image": IMAGE, "negative": IMAGE}

    def sample(self, params, state, key, conditions, options):
        def negative(image):
            self.made.append(len(image))
            return -image

        image = super().sample(params, state, key, conditions, options)["image"]
        shape = jax.ShapeDtypeStruct(image.shape, image.dtype)
        return {"image": image, "negative": jax.pure_callback(negative, shape, image)}


def test_what_no_metric_reads_is_not_computed():
    built = engine(Mirror(), PICTURES, batch_size=ROW)
    given, options = conditions(built.model, PaintOptions(), PICTURES, None, None, ROW)
    whole = draw(built, built.init(), given, seed=0, options=options)
    np.testing.assert_array_equal(whole["negative"], -whole["image"])
    assert Mirror.made == [ROW]
    assert Measure(built, dataset(PICTURES), "validation", ["swd"])(built.init())["swd10_image"] > 0
    assert Mirror.made == [ROW]
