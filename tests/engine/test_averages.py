"""Moving averages: the power profile as it is defined, stored, resumed, and combined into others."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import IMAGES, TINY, engine

import genjax
from genjax import cli
from genjax.engine import averages as ema
from genjax.engine.state import averaged, ema_entries
from genjax.errors import UsageError, UserError
from genjax.experiment import Mesh, Train
from genjax.runs import posthoc_ema, restore
from genjax.runs.check import resolve

NAME = "vae-conditional"  # the quickest to compile
STORED = (0.05, 0.1)


def power_run(out, **train):
    experiment = TINY[NAME]
    fields = {
        "steps": 5,
        "ema_decay": 0.0,
        "checkpoint_every": 1,
        "keep": 1,
        "ema_power": STORED,
        "ema_entries": ("decoder",),
        "log_every": 4,
        **train,
    }
    experiment = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **fields))
    genjax.train(experiment, out)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of eight steps."""
    return power_run(tmp_path_factory.mktemp("power") / "run")


def profile(sigma_rel: float, steps: int) -> np.ndarray:
    """The weights of steps 1 ... `steps`: the integral of (gamma + 1) s^gamma / t^(gamma + 1) over each step."""
    edges = (np.arange(steps + 1) / steps) ** (ema.sharpness(sigma_rel) + 1)
    return np.diff(edges)


def test_ramps():
    """The largest decay of the first steps, and where the end is reached."""
    step = jnp.asarray([0.0, 1.0, 90.0, 1e6])
    np.testing.assert_allclose(ema.RAMPS["tensorflow"](step)[:3], [0.1, 2 / 11, 0.91], rtol=1e-6)
    # a half-life of N / 20 images after N images: 0.5^(batch / half-life)
    np.testing.assert_allclose(ema.RAMPS["edm"](step)[:3], [0, 0.5**20, 0.5 ** (512 / (90 * 512 / 20))], rtol=1e-6)
    for ramp in ema.RAMPS.values():
        assert ramp(step)[-1] > 0.9999 if np.ndim(ramp(step)) else ramp(step) == 1


@pytest.mark.parametrize("ramp", ema.RAMPS)
def test_a_ramp_reaches_the_average(ramp):
    old, new = {"net": {"w": jnp.zeros(2)}}, {"net": {"w": jnp.ones(2)}}
    average = ema.update(ema.EMA(old, {}, {}), new, {}, {"net"}, 0.5, jnp.int32(0), ramp)
    expected = 1 - {"tensorflow": 0.1, "edm": 0.0, "none": 0.5}[ramp]
    np.testing.assert_allclose(average.params["net"]["w"], expected)


def drifting(steps: int) -> np.ndarray:
    """A trajectory like that of parameters in training: towards a goal, with noise."""
    random = np.random.default_rng(0)
    goal, time = random.normal(size=12), np.arange(1, steps + 1)[:, None]
    return 1.0 + goal * (1 - np.exp(-3 * time / steps)) + np.cumsum(random.normal(size=(steps, 12)), 0) * 0.02


def track(history: np.ndarray, sigma_rel: float):
    """Yields the running average after each step."""
    update = jax.jit(ema.update_power, static_argnums=3)
    average = ema.Average({"net": np.full_like(history[0], 7.0, np.float32)}, {})  # forgotten at the first step
    for step, values in enumerate(history):
        average = update(average, {"net": values.astype(np.float32)}, {}, sigma_rel, np.int32(step))
        yield average


def test_sharpness_is_that_of_the_paper():
    assert ema.sharpness(0.05) == pytest.approx(16.97, abs=5e-3)
    assert ema.sharpness(0.10) == pytest.approx(6.94, abs=5e-3)
    for sigma_rel in (0.01, 0.07, 0.25):
        weights, time = profile(sigma_rel, 20_000), (np.arange(20_000) + 0.5) / 20_000
        mean = weights @ time
        assert np.sqrt(weights @ (time - mean) ** 2) == pytest.approx(sigma_rel, rel=1e-3)


@pytest.mark.parametrize("sigma_rel", [0.05, 0.2])
def test_the_running_average_is_the_weighted_sum_of_the_history(sigma_rel):
    history = drifting(300)
    for step, average in enumerate(track(history, sigma_rel), 1):
        if step in (1, 2, 300):
            expected = profile(sigma_rel, step) @ history[:step]
            np.testing.assert_allclose(average.params["net"], expected, rtol=2e-6)


def test_the_rate_keeps_its_digits_late_in_training():
    step, change = 3_000_000, {"net": np.ones(1, np.float32)}
    average = ema.update_power(ema.Average({"net": np.zeros(1, np.float32)}, {}), change, {}, 0.1, np.int32(step - 1))
    expected = 1 - (1 - 1 / step) ** (ema.sharpness(0.1) + 1)
    np.testing.assert_allclose(average.params["net"], expected, rtol=1e-5)


def test_floats_of_the_state_are_averaged_and_stored_and_integers_are_the_latest(tmp_path):
    average = ema.Average({}, {"net": {"mean": jnp.zeros(2), "count": jnp.int32(0)}})
    for step in range(4):
        state = {"net": {"mean": jnp.full(2, float(step)), "count": jnp.int32(step)}}
        average = ema.update_power(average, {}, state, 0.1, step)
        posthoc_ema.save(tmp_path, step + 1, {"0.1": average})
    np.testing.assert_allclose(average.state["net"]["mean"], profile(0.1, 4) @ np.arange(4), rtol=1e-5)
    made = posthoc_ema.reconstruct(tmp_path, 4, 0.1, average)
    chex.assert_trees_all_close(made, average, rtol=1e-5)
    assert made.state["net"]["count"] == 3 and made.state["net"]["count"].dtype == jnp.int32


def test_the_plain_average_ramps_up():
    averages = ema.EMA({"net": np.zeros(1)}, {}, {})
    for step, decay in ((0, 0.1), (9, 10 / 19), (10_000, 0.9)):
        new = ema.update(averages, {"net": np.ones(1)}, {}, {"net"}, 0.9, step)
        np.testing.assert_allclose(new.params["net"], 1 - decay, rtol=1e-6)


def test_a_profile_that_was_not_stored_is_reconstructed(tmp_path):
    steps, target, history = 600, 0.07, drifting(600)
    for sigma_rel in STORED:
        for step, average in enumerate(track(history, sigma_rel), 1):
            if step % 30 == 0:
                posthoc_ema.save(tmp_path, step, {ema.power_name(sigma_rel): average})
    for step in (steps, 300):
        truth = profile(target, step) @ history[:step]
        made = posthoc_ema.reconstruct(tmp_path, step, target, average).params["net"]
        stored = [np.linalg.norm(profile(sigma, step) @ history[:step] - truth) for sigma in STORED]
        assert np.linalg.norm(made - truth) < 0.05 * min(stored)
    again = posthoc_ema.reconstruct(tmp_path, steps, STORED[1], average)
    chex.assert_trees_all_close(again, average, rtol=1e-6)


def test_inner_product_and_least_squares_agree_with_quadrature():
    s = (np.arange(200_000) + 0.5) / 200_000

    def density(t, gamma):
        return (gamma + 1) * np.where(s < t, s, 0.0) ** gamma / t ** (gamma + 1)

    a, b = (0.6, 17.0), (1.0, 7.0)
    assert posthoc_ema.inner_product(*a, *b) == pytest.approx((density(*a) * density(*b)).mean(), rel=1e-3)
    times, gammas = np.array([0.5, 0.5, 1.0, 1.0]), np.array([17.0, 7.0] * 2)
    weights, error = posthoc_ema.coefficients(times, gammas, 1.0, 11.0)
    made, wanted = sum(w * density(*p) for w, *p in zip(weights, times, gammas)), density(1.0, 11.0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert error == pytest.approx(np.linalg.norm(made - wanted) / np.linalg.norm(wanted), rel=1e-2)
    shift = np.array([1.0, -1.0, 0.0, 0.0]) * 0.01  # any other combination that sums to 1 is worse
    for move in (shift, -shift, shift[::-1], -shift[::-1]):
        other = sum(w * density(*p) for w, *p in zip(weights + move, times, gammas))
        assert np.linalg.norm(other - wanted) > np.linalg.norm(made - wanted)


def test_snapshots_outlive_checkpoints_and_give_any_profile(whole, capfd):
    assert [p.name for p in (whole / "checkpoints").iterdir() if p.name.isdecimal()] == ["5"]
    stored = posthoc_ema.snapshots(whole)
    assert {(s.step, s.sigma_rel) for s in stored} == {(step, sigma) for step in range(1, 6) for sigma in STORED}
    state = restore.open_run(whole).state
    assert set(state.ema.power) == {"0.05", "0.1"} and not state.ema.params
    default, _ = averaged(state)  # without a plain average, the narrowest
    chex.assert_trees_all_equal(default["decoder"], state.ema.power["0.05"].params["decoder"])
    chex.assert_trees_all_equal(default["encoder"], state.params["encoder"])
    wide = genjax.restore(whole, ema=0.1)[1]
    chex.assert_trees_all_close(wide["decoder"], state.ema.power["0.1"].params["decoder"], rtol=1e-5, atol=1e-7)
    chex.assert_trees_all_equal(genjax.restore(whole, ema=False)[1:], (state.params, state.model_state))
    assert "miss the profile" not in capfd.readouterr().err
    genjax.restore(whole, ema=0.01)
    assert "miss the profile of sigma_rel 0.01 by" in capfd.readouterr().err


def test_stopped_and_resumed_the_averages_and_snapshots_are_bit_identical(whole, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:  # the power fails when the third step's averages are stored
        save = posthoc_ema.save
        patch.setattr(posthoc_ema, "save", lambda *a: (save(*a), 1 / (a[1] != 3)))
        with pytest.raises(ZeroDivisionError):
            power_run(out)
    assert posthoc_ema.snapshots(out)[-1].step == 3
    seen = []
    discard = posthoc_ema.discard_after
    monkeypatch.setattr(
        posthoc_ema, "discard_after", lambda *a: (discard(*a), seen.append((a[1], posthoc_ema.snapshots(out))))
    )
    power_run(out)
    [(resumed, kept)] = seen
    assert kept[-1].step == resumed == 2
    a, b = (jax.device_get(restore.open_run(place).state) for place in (out, whole))
    chex.assert_trees_all_equal(a, b)
    assert {s.file.name: s.file.read_bytes() for s in posthoc_ema.snapshots(out)} == {
        s.file.name: s.file.read_bytes() for s in posthoc_ema.snapshots(whole)
    }
    with pytest.raises(UserError, match="ema_power"):
        power_run(out, ema_power=(0.05,))


def test_power_averages_lie_like_the_parameters():
    sharded = engine("gpt", devices=4, mesh=Mesh(fsdp=4), ema_power=STORED).shardings
    assert any(s.spec != () and any(s.spec) for s in jax.tree.leaves(sharded.params))
    for average in sharded.ema.power.values():
        assert average.params == sharded.params


@pytest.mark.parametrize("fields", [{}, {"ema_decay": 0.9}, {"ema_power": STORED}], ids=str)
def test_entries_are_averaged_by_either_kind(fields):
    experiment = resolve(dataclasses.replace(TINY[NAME], train=Train(**fields)), IMAGES)
    assert ema_entries(experiment) == (("encoder", "decoder") if fields else ())


@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.29, float("nan"), float("inf")])
def test_widths_that_no_profile_has_are_refused(whole, sigma_rel):
    with pytest.raises(UsageError, match=r"must be above 0 and at most 0\.2886"):
        posthoc_ema.reconstruct(whole, 5, sigma_rel, ema.Average({}, {}))


def test_missing_and_broken_averages_are_one_line(whole, tmp_path):
    like = restore.open_run(whole).engine.abstract_state.ema.power["0.1"]
    with pytest.raises(UserError, match="no power averages of step 9: there are steps 1, 2"):
        posthoc_ema.reconstruct(whole, 9, 0.07, like)
    with pytest.raises(UserError, match="train with --train"):
        posthoc_ema.reconstruct(tmp_path, 9, 0.07, like)
    (tmp_path / "ema").mkdir()
    (tmp_path / "ema" / "9-0.1.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"cannot read the average '.*9-0\.1"):
        posthoc_ema.reconstruct(tmp_path, 9, 0.07, like)
    posthoc_ema.save(tmp_path, 9, {"0.1": jax.tree.map(lambda x: jnp.zeros(3), like)})
    with pytest.raises(UserError, match=r"has shape \(3,\)"):
        posthoc_ema.reconstruct(tmp_path, 9, 0.07, like)
    with pytest.raises(UsageError, match="given twice"):
        power_run(tmp_path / "twice", ema_power=(0.1, 0.1))


def test_the_command_line_chooses_the_average(whole, tmp_path, capsys):
    from safetensors.numpy import load_file

    files = {}
    for choice in ("true", "false", "0.07"):
        file = files[choice] = tmp_path / f"{choice}.safetensors"
        assert cli.run(["export", str(whole), "--ema", choice, "--out", str(file)]) == 0
    weights = {choice: load_file(file) for choice, file in files.items()}
    _, params, _ = genjax.restore(whole, ema=0.07)
    name, expected = "decoder/" + next(iter(params["decoder"])), params["decoder"]
    key = next(k for k in weights["0.07"] if k.startswith(name))
    for part in key.split("/")[1:]:
        expected = expected[part]
    np.testing.assert_array_equal(weights["0.07"][key], expected)
    assert not np.array_equal(weights["true"][key], weights["false"][key])
    for wrong in ("wide", "0.5"):
        with pytest.raises(UsageError, match=wrong):
            cli.run(["eval", str(whole), "--ema", wrong])
