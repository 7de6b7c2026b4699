"""Caption accuracy, and the extractor that sees halves."""

import numpy as np
import pytest

from genjax import data
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.metrics.captions import CaptionAccuracy
from genjax.metrics.features import load_extractor
from genjax.spec import Image


def test_a_picture_counts_where_both_halves_are_right():
    metric = CaptionAccuracy("image", Image(8, 16, 1))
    right = np.eye(3)[[[0, 1], [2, 2], [1, 0]]].reshape(3, 6)
    metric.observe({"image_logits": right, "left": np.array([0, 2, 1]), "right": np.array([1, 2, 2])})
    metric.update({"image_logits": np.eye(3)[[[0, 1], [2, 1], [0, 2]]].reshape(3, 6)})
    values = metric.result()
    assert values["caption_accuracy"] == pytest.approx(1 / 3)
    assert values["caption_accuracy_of_data"] == pytest.approx(2 / 3) and values["caption_accuracy_se"] > 0
    with pytest.raises(UserError, match="no label `left`"):
        CaptionAccuracy("image", Image(8, 16, 1)).observe({"image_logits": right})


def test_the_shipped_classifier_is_right_on_97_percent_of_the_data():
    batch = data.load(Data(source="captioned_digits", tokenizer="bpe:320", context=8)).validation.gather(np.arange(600))
    seen = load_extractor("digit_pairs", Image(8, 16, 1))(batch["image"])
    assert seen["features"].shape == (600, 128)
    digit = seen["logits"].reshape(600, 2, 11).argmax(-1)
    said = np.stack([batch["left"], batch["right"]], axis=1)
    assert (digit == said).all(1).mean() > 0.97
    np.testing.assert_array_equal(digit == 10, said == 10)
