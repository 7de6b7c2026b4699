"""The real pictures that stand beside samples: their order, and the texts under them."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from genjax.data import load
from genjax.experiment import Data, Eval
from genjax.models import VAE, DiTConfig, Text2Image
from genjax.training.previews import Previews, _in_turn


def test_classes_come_in_turn_as_long_as_they_have_examples():
    label_N = np.array([2, 2, 0, 1, 2, 0])
    assert label_N[_in_turn(label_N)].tolist() == [0, 1, 2, 0, 2, 2]
    assert _in_turn(label_N).tolist() == [2, 3, 0, 5, 1, 4]


@pytest.mark.parametrize(("model", "texts"), [(Text2Image(network=DiTConfig(patch=2)), True), (VAE(), False)])
def test_captions_stand_under_real_pictures_where_they_do_under_samples(model, texts, tmp_path):
    dataset = load(Data(source="captioned_digits", tokenizer="bpe:320", context=8))
    experiment = SimpleNamespace(eval=Eval(grid=1))
    engine = SimpleNamespace(model=model.resolve(dataset.spec), spec=dataset.spec, experiment=experiment)
    (file,) = Previews(engine, dataset).write_real(tmp_path)
    width, height = Image.open(file).size
    assert (2 * height > width) == texts  # a picture of 8 x 16 pixels, and the words under it
