"""The distance of pixels from those of the true partner."""

import numpy as np
import pytest

from genjax.metrics.pixels import Pixels
from genjax.spec import Image


def test_values_are_those_of_their_definitions():
    metric, black = Pixels("image", Image(4, 4, 1)), -np.ones((3, 4, 4, 1), np.float32)
    made = black.copy()
    made[0, :2] = 1.0  # half of the first picture is white
    made[1] += 0.02  # 8 bits: 2.55 are 3
    metric.observe({"image": black[:2]})
    metric.observe({"image": black[2:]})
    metric.update({"image": made})
    apart = np.array([1.0] * 8 + [0.0] * 8 + [3 / 255] * 16 + [0.0] * 16)
    values = metric.result()
    assert values["pixel_l1"] == pytest.approx(apart.mean(), rel=1e-5)
    psnr = [-10 * np.log10(max(1e-10, (part**2).mean())) for part in apart.reshape(3, 16)]
    assert values["psnr"] == pytest.approx(np.mean(psnr), rel=1e-5)


def test_nothing_compared_gives_no_value():
    assert Pixels("image", Image(4, 4, 1)).result() == {}
