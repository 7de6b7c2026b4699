"""The classifier: its loss, its accuracy, what it refuses; its weights are an extractor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import data
from genjax.engine.engine import Engine
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, Experiment, Optim, Train
from genjax.metrics.features import load_extractor
from genjax.models import Classifier, ConvClassifier
from genjax.runs.check import resolve
from genjax.runs.weights import export_weights
from genjax.spec import DataSpec, Image, Label

SPEC = DataSpec({"image": Image(8, 8, 1), "label": Label(10)})
MODEL = Classifier(network=ConvClassifier(widths=(4, 8), features=8)).resolve(SPEC)


def test_the_loss_is_the_cross_entropy():
    batch = SPEC.random_batch(6)
    params, state = MODEL.init(jax.random.key(0), SPEC)
    loss = MODEL.loss("classify", params, state, batch, jax.random.key(1), step=0, train=True).loss
    log_p = np.asarray(jax.nn.log_softmax(MODEL.logits(params, batch["image"])))
    np.testing.assert_allclose(loss, -log_p[np.arange(6), batch["label"]].mean(), rtol=1e-5)
    measured = MODEL.evaluate(params, state, batch | {"valid": np.arange(6) < 4}, None)
    np.testing.assert_allclose(measured["nll"].value, -log_p[np.arange(4), batch["label"][:4]].mean(), rtol=1e-5)
    right = (log_p.argmax(1) == batch["label"])[:4].mean()
    np.testing.assert_allclose(measured["accuracy"].value, right, atol=1e-6)


def test_dropout_is_of_training_alone():
    model = dataclasses.replace(MODEL, network=ConvClassifier(widths=(4, 8), features=8, dropout=0.5))
    params, state = model.init(jax.random.key(0), SPEC)
    losses = [
        float(model.loss("classify", params, state, SPEC.random_batch(6), jax.random.key(k), step=0, train=train).loss)
        for train in (False, True)
        for k in (0, 1)
    ]
    assert losses[0] == losses[1] and len(set(losses)) == 3


def test_labels_are_needed_and_numbers_are_checked():
    with pytest.raises(UserError, match="Classifier needs the field `label`"):
        Classifier().resolve(DataSpec({"image": Image(8, 8, 1)}))
    for wrong in ({"widths": ()}, {"widths": (0,)}, {"features": 0}, {"dropout": 1.0}):
        with pytest.raises(UsageError, match="ConvClassifier"):
            ConvClassifier(**wrong)


def test_the_weights_of_a_run_are_an_extractor(tmp_path):
    loaded = data.load(Data(source="digits"))
    experiment = Experiment(MODEL, Data(source="digits"), optim=Optim(), train=Train(steps=1))
    engine = Engine(resolve(experiment, loaded.spec), loaded.spec, jax.devices()[:1])
    state = engine.init()
    file = export_weights(engine.model, state, tmp_path / "w.safetensors")
    image = loaded.validation.gather(np.arange(20))["image"]
    seen = load_extractor(f"classifier:{file}", Image(8, 8, 1))(image)
    rounded = np.round((image + 1) * 127.5) / 127.5 - 1
    expected = engine.model.logits(jax.device_get(state.params), jnp.asarray(rounded, jnp.float32))
    np.testing.assert_allclose(seen["logits"], expected, rtol=1e-4, atol=1e-4)
