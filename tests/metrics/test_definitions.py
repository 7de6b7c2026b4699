"""Metrics on samples and likelihoods have a definition and a source, and the page of them is that of the code."""

from pathlib import Path

import pytest
from systems import SYSTEMS

from genjax.metrics import METRICS
from genjax.metrics.definitions import LIKELIHOODS, define, markdown, of_samples, value_of


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_defined_and_cited(name):
    metric = METRICS[name]
    assert metric.values and metric.source
    assert all(len(text.split()) >= 3 and not text.endswith(".") for text in metric.values.values())


def test_no_two_metrics_share_a_value():
    values = [value for metric in METRICS.values() for value in metric.values] + list(LIKELIHOODS)
    assert len(set(values)) == len(values)


def test_the_page_holds_the_tables():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    assert page.endswith(markdown() + "\n"), "write genjax.metrics.definitions.markdown() into docs/metrics.md"


def test_names_are_those_of_their_values():
    for name, value in {
        "fd297_digits": "fd",
        "fd50k": "fd",
        "seen/kid1024_inception_image_a_se": "kid",
        "swd297": "swd",
        "intra_fd297_digits": "intra_fd",
        "exact_match": "exact_match",
        "rouge1": "rouge1",
        "rougeL_se": "rougeL",
        "nll_iwae16": "nll_iwaeK",
        "ode50_bits_per_dim": "odeK_bits_per_dim",
        "is40_digits": "is",
        "fake_logit": "fake_logit",
        "word_from_image": "A_from_B",
        "validation/image_b_from_label": "A_from_B",
    }.items():
        assert value_of(name) == value, name
    assert define("precision297_digits").higher_is_better and not define("fd297_digits").higher_is_better
    assert define("fake_logit") is None and define("elbo").higher_is_better
    assert define("word_from_image").higher_is_better and not define("bic").higher_is_better
    assert of_samples("fd297_digits") and not of_samples("elbo")


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name.split("-")[0] in ("vae", "diffusion", "gpt")])
def test_what_picks_the_best_checkpoint_is_defined(name):
    assert define(SYSTEMS[name].experiment.model.best[0])
