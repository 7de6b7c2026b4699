"""Metrics of two sets of features: known distances, the reference implementations, names, and sets that are wrong."""

import tracemalloc

import numpy as np
import pytest
from metrics import fidelity

from genjax.errors import UserError
from genjax.metrics import METRICS, neighbours
from genjax.metrics.frechet import frechet_distance
from genjax.metrics.inception_score import inception_score
from genjax.metrics.kernels import mmd2
from genjax.metrics.neighbours import density_coverage, precision_recall, radii
from genjax.spec import Image

IMAGE = Image(8, 8, 1)
NAMES = ("fd", "kid", "is", "pr", "dc", "mmd", "energy")


def gaussian(count, dimensions=6, shift=0.0, scale=1.0, seed=0):
    return (shift + scale * np.random.default_rng(seed).standard_normal((count, dimensions))).astype(np.float32)


def measured(name, real, made, extractor="x"):
    metric = METRICS[name]("image", IMAGE, None, extractor)
    for part in np.array_split(real, 3):
        metric.observe({"image_features": part, "image_logits": part})
    metric.update({"image_features": made, "image_logits": made})
    return metric.result()


def test_names_carry_count_and_extractor_and_fid_says_whose_features_they_are():
    real, made = gaussian(40), gaussian(1000, seed=1)
    assert set(measured("pr", real, made)) == {"precision1k_x", "precision1k_x_se", "recall1k_x", "recall1k_x_se"}
    assert set(measured("dc", real, made[:40])) == {"density40_x", "density40_x_se", "coverage40_x", "coverage40_x_se"}
    assert measured("fid", real, made, "inception") == {
        name.replace("fd", "fid").replace("_inception", ""): value
        for name, value in measured("fd", real, made, "inception").items()
    }


def test_gaussians_are_as_far_apart_as_they_are():
    """|m|^2 + D (1 - s)^2 for N(0, 1) and N(m, s)."""
    real, made = gaussian(4000), gaussian(4000, shift=0.5, scale=1.5, seed=1)
    value, error = measured("fd", real, made).values()
    assert abs(value - 6 * (0.25 + 0.25)) < 1.96 * error < 0.5
    value, error = measured("kid", real, made).values()
    assert value > 5 * error > 0
    same = measured("kid", real, gaussian(4000, seed=1))
    assert abs(same["kid4k_x"]) < 3 * same["kid4k_x_se"]


def test_the_bootstrap_is_as_wide_as_the_distance_varies():
    values = [measured("fd", gaussian(300, seed=s), gaussian(300, shift=1.0, seed=s + 50)) for s in range(30)]
    spread = np.std([value["fd300_x"] for value in values])
    assert np.mean([value["fd300_x_se"] for value in values]) == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("name", ["fd", "kid"])
def test_pairs_of_one_label_are_drawn_together_and_their_error_is_as_wide_as_the_distance_varies(name):
    """Classes that are far apart: how many of each are drawn is the same in both sets, and says nothing."""

    def both(seed):
        rng = np.random.default_rng(seed)
        centre = 20 * rng.integers(0, 2, (200, 1))
        return [(centre + rng.standard_normal((200, 3)) + shift).astype(np.float32) for shift in (0, 1)]

    values, loose = [], []
    for seed in range(20):
        metric = METRICS[name]("image", IMAGE, None, "x")
        real, made = both(seed)
        metric.observe({"image_features": real})
        metric.update({"image_features": made})
        loose.append(metric.result()[f"{name}200_x_se"])
        metric.matched = True
        values.append(list(metric.result().values()))
    spread = np.std([value for value, _ in values])
    assert np.mean([error for _, error in values]) == pytest.approx(spread, rel=0.5)
    assert np.mean(loose) > 2 * spread


@pytest.mark.parametrize("name", ["fd", "kid", "mmd", "energy"])
def test_a_set_is_nearer_to_its_like_than_to_others(name):
    real, like = gaussian(400), gaussian(400, seed=1)
    first = f"{name}400_x"
    near, far = measured(name, real, like)[first], measured(name, real, like + 0.5)[first]
    assert near < far < measured(name, real, like + 1.0)[first]


@pytest.mark.parametrize("name", ["kid", "mmd", "energy"])
def test_few_rows_have_a_finite_error(name):
    for count in (3, 5):  # some of the sets that are drawn anew are one row, time and again
        assert np.isfinite(list(measured(name, gaussian(count), gaussian(count, seed=1)).values())).all()


def test_fewer_rows_than_features_are_finite_and_of_the_scale_of_the_others():
    wide = gaussian(20, 50)
    assert frechet_distance(wide, wide) == pytest.approx(0, abs=1e-10)
    constant = np.ones((30, 50))
    assert frechet_distance(constant, constant) == 0
    assert frechet_distance(wide, constant) == pytest.approx(
        ((wide.mean(0) - 1) ** 2).sum() + wide.var(0, ddof=1).sum(), rel=1e-6
    )


def test_weights_count_rows():
    x, y = gaussian(30), gaussian(25, shift=0.3, seed=1)
    counts = np.random.default_rng(0).integers(0, 4, 30)
    weight = counts.astype(float)
    assert frechet_distance(x, y, weight, np.ones(25)) == pytest.approx(frechet_distance(x.repeat(counts, 0), y))
    assert inception_score(x, weight) == pytest.approx(inception_score(x.repeat(counts, 0)))
    kernels = [(a @ b.T / 6 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    assert mmd2(*kernels, np.ones(30), np.ones(25)) == pytest.approx(mmd2(*kernels))


def test_a_ball_reaches_to_the_kth_neighbour():
    line = np.arange(6.0)[:, None]
    np.testing.assert_allclose(radii(line, 2), [4, 1, 1, 1, 1, 4])
    precision, recall = precision_recall(line, np.array([[0.5], [1.0], [90.0], [91.0], [92.0]]), 2)
    assert precision.tolist() == [1, 1, 0, 0, 0] and recall.tolist() == [1] * 6  # the balls of 0.5 and 1 reach to 90
    density, coverage = density_coverage(line, np.array([[0.5], [5.5]]), 2)
    assert coverage.tolist() == [1, 1, 0, 0, 0, 1] and density.tolist() == [1, 0.5]


def test_scores_go_from_one_to_the_number_of_classes():
    sure = 50.0 * np.eye(5).repeat(40, 0)
    assert inception_score(sure) == pytest.approx(5)
    assert inception_score(np.zeros((40, 5))) == pytest.approx(1)
    assert inception_score(sure[:40]) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_too_few_and_not_finite_are_refused(name):
    real = gaussian(40)
    least = METRICS[name].least
    with pytest.raises(UserError, match=f"{name} needs at least {least} samples, and there are {least - 1}"):
        measured(name, real, real[: least - 1])
    with pytest.raises(UserError, match=f"{name} needs at least {least} references, and there are 1"):
        measured(name, real[:1], real)
    with pytest.raises(UserError, match=f"{name}: the features of samples are not finite"):
        measured(name, real, np.full_like(real, np.nan))


def test_rows_without_the_field_are_left_out():
    real, made = gaussian(40), gaussian(40, seed=1)
    metric = METRICS["fd"]("image", IMAGE)
    metric.observe({"image_features": real, "image_present": np.arange(40) < 30})
    metric.update({"image_features": made})
    assert metric.result()["fd40"] == pytest.approx(frechet_distance(real[:30], made))


# The references themselves.


@pytest.mark.peers
@pytest.mark.parametrize("counts", [(300, 250), (30, 25)], ids=["full rank", "deficient"])
def test_frechet_is_that_of_torch_fidelity_and_of_the_formula(counts):
    linalg = pytest.importorskip("scipy.linalg")
    torch, theirs = pytest.importorskip("torch"), fidelity.module("metric_fid")
    x, y = (gaussian(n, 48, shift, seed=n).astype(np.float64) for n, shift in zip(counts, (0.0, 0.3)))
    statistics = [theirs.fid_features_to_statistics(torch.tensor(part)) for part in (x, y)]
    expected = theirs.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)
    covariances = [np.cov(part, rowvar=False) for part in (x, y)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    formula = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(x, y) == pytest.approx(formula, rel=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("counts", [(1300, 1100), (300, 200)])
def test_kid_is_that_of_torch_fidelity(counts):
    torch, theirs = pytest.importorskip("torch"), fidelity.module("metric_kid")
    real, made = (gaussian(n, 16, shift, seed=n).astype(np.float64) for n, shift in zip(counts, (0.0, 0.2)))
    size = min(1000, *counts)
    expected = theirs.kid_features_to_metric(
        torch.tensor(made), torch.tensor(real), kid_subsets=100, kid_subset_size=size, verbose=False, rng_seed=2020
    )["kernel_inception_distance_mean"]
    assert next(iter(measured("kid", real, made).values())) == pytest.approx(expected, rel=1e-4)


@pytest.mark.peers
def test_the_inception_score_is_that_of_torch_fidelity():
    torch, theirs = pytest.importorskip("torch"), fidelity.module("metric_isc")
    logits = gaussian(997, 10, scale=3)
    expected = theirs.isc_features_to_metric(torch.tensor(logits))["inception_score_mean"]
    assert measured("is", logits, logits)["is997_x"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.peers
def test_precision_and_recall_are_those_of_torch_fidelity():
    torch, theirs = pytest.importorskip("torch"), fidelity.module("metric_prc")
    real, made = gaussian(400), gaussian(300, shift=0.7, scale=0.8, seed=1)
    expected = theirs.prc_features_to_metric(
        torch.tensor(made).double(), torch.tensor(real).double(), verbose=False, save_cpu_ram=False
    )
    values = measured("pr", real, made)
    assert values["precision300_x"] == pytest.approx(expected["precision"], rel=1e-4)
    assert values["recall300_x"] == pytest.approx(expected["recall"], rel=1e-4)
    assert 0.1 < values["recall300_x"] < 0.95


@pytest.mark.peers
def test_density_and_coverage_are_those_of_a_plain_implementation():
    neighbors = pytest.importorskip("sklearn.neighbors")
    real, made = gaussian(400).astype(np.float64), gaussian(300, shift=0.7, scale=0.8, seed=1).astype(np.float64)
    reach = neighbors.NearestNeighbors(n_neighbors=6).fit(real).kneighbors(real)[0][:, -1]
    apart = np.linalg.norm(real[:, None] - made[None], axis=-1)
    inside = apart < reach[:, None]
    values = measured("dc", real, made)
    assert values["density300_x"] == pytest.approx(inside.sum(0).mean() / 5, rel=1e-4)
    assert values["coverage300_x"] == pytest.approx(inside.any(1).mean(), rel=1e-4)


def test_neighbours_take_the_memory_of_a_block(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 2**16)
    x, y = (gaussian(1500, 4, seed=seed).astype(np.float64) for seed in (0, 1))
    tracemalloc.start()
    precision_recall(x, y)
    density_coverage(x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1500 * 1500 * 8 / 3  # of all distances
