"""How far apart samples are, and the warning where they are all alike."""

import numpy as np
import pytest

from genjax.metrics import METRICS
from genjax.metrics.diversity import collapse, mean_distance
from genjax.spec import Image


def gaussian(count, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal((count, 6))).astype(np.float32)


def measured(real, made):
    metric = METRICS["diversity"]("image", Image(8, 8, 1), None, "x")
    for part in np.array_split(real, 3):
        metric.observe({"image_features": part, "image_logits": part})
    metric.update({"image_features": made, "image_logits": made})
    return metric.result()


def test_it_is_the_mean_distance_of_all_pairs(monkeypatch):
    x = gaussian(40)
    apart = np.linalg.norm(x[:, None] - x, axis=-1)
    want = apart[np.triu_indices(40, 1)].mean()
    assert mean_distance(x.astype(np.float64)).value == pytest.approx(want, rel=1e-5)
    monkeypatch.setattr("genjax.metrics.diversity.BLOCK", 100)  # a few rows at once
    assert mean_distance(x.astype(np.float64)).value == pytest.approx(want, rel=1e-5)


def test_its_standard_error_is_the_spread_over_sets():
    found = [mean_distance(gaussian(60, seed=seed).astype(np.float64)) for seed in range(200)]
    assert np.mean([e.error for e in found]) == pytest.approx(np.std([e.value for e in found]), rel=0.2)


def test_samples_that_are_alike_are_warned_of():
    real = gaussian(60)
    good, bad = measured(real, gaussian(90, seed=1)), measured(real, gaussian(90, scale=0.2, seed=1))
    assert {"diversity90_x", "diversity90_x_se", "diversity_data90_x", "diversity_ratio"} <= set(good)
    assert good["diversity_ratio"] == pytest.approx(1, abs=0.1) and collapse(good) == ""
    assert bad["diversity_ratio"] == pytest.approx(0.2, abs=0.03)
    assert "20% as far apart" in collapse(bad | {"diversity_ratio": 0.2}) and "\n" not in collapse(bad)
    assert collapse({"swd": 1.0}) == ""
