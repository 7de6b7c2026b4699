"""Samples of a diffusion model: what its options do, and which of them are refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.diffusion.small import IMAGES, INDEX, NAN, NET, awake, params_of, tiny

from genjax.diffusion import DDPM, EDM, Churn, Flow
from genjax.errors import UsageError
from genjax.models import Diffusion, DiTConfig
from genjax.models.diffusion import sampling


@pytest.fixture(scope="module")
def draw():
    """(conditions, **options) -> image and what else a flow with awake parameters returns."""
    net = DiTConfig(patch=2, layers=2, width=32, heads=2)
    model = Diffusion(network=net, process=Flow(), target="velocity", dtype="float32").resolve(IMAGES)
    params = awake(params_of(model))
    compiled = jax.jit(model.sample, static_argnums=4)

    def draw(given, **options):
        return compiled(params, {}, jax.random.key(0), given, model.Options(**options))

    return draw


def test_known_pixels_stay_and_the_mask_is_painted(draw):
    init = np.broadcast_to(np.linspace(-1, 1, 8, dtype=np.float32)[None, :, None, None], (4, 8, 8, 1))
    mask = np.zeros((4, 8, 8, 1), np.float32)
    mask[:, :, 4:] = 1
    given = {"index": INDEX, "label": INDEX, "init": init, "mask": mask}
    for resample in (1, 3):
        options = {"steps": 4, "init": "x", "mask": "y", "sampler": "euler", "resample": resample}
        image = draw(given, **options)["image"]
        np.testing.assert_allclose(image[:, :, :4], init[:, :, :4], atol=1e-6)
        assert np.abs(image[:, :, 4:] - init[:, :, 4:]).max() > 0.1
        other = draw({**given, "init": -init}, **options)["image"]
        assert np.abs(other - image)[:, :, 4:].max() > 1e-2  # what is painted fits what is known


def test_inversion_returns_the_image_and_strength_decides_how_much_is_kept(draw):
    init = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 8, 8, 1)).astype(np.float32)
    given = {"index": INDEX, "label": INDEX, "init": init}

    def error(**options):
        return np.abs(draw(given, steps=20, init="x", sampler="euler", **options)["image"] - init).max()

    assert error(strength=1.0, invert=True) < 1e-2
    assert 0.1 < error(strength=0.05) < error(strength=1.0)


class Files:
    """`Given` of files that are known."""

    spec = IMAGES
    tokenizer = None

    def image(self, path, flag, shape):
        assert (path, flag, shape) == ("init.png", "--init", (8, 8, 1))
        return np.full(shape, 0.5, np.float32)

    def mask(self, path, flag, image, shape):
        assert (path, flag, image, shape) == ("mask.png", "--mask", "init.png", (8, 8, 1))
        return np.ones((8, 8, 1), np.float32)


@pytest.mark.parametrize("options", [{"invert": True}, {"invert": True, "strength": 1.0}, {}, {"mask": "mask.png"}])
def test_options_survive_that_their_files_are_taken_out(draw, options):
    model = tiny(process=Flow(), target="velocity")
    chosen = model.check(model.Options(init="init.png", steps=4, **options))
    given, stripped = chosen.conditions(model, Files(), 4)
    assert stripped.init is None and stripped.mask is None
    np.testing.assert_array_equal(given["label"], INDEX)
    assert set(given) == {"label", "init"} | ({"mask"} if "mask" in options else set())
    image = draw({**given, "index": INDEX}, **dataclasses.asdict(stripped))["image"]
    assert image.shape == (4, 8, 8, 1) and np.isfinite(image).all()


def test_labels_are_conditions():
    model = tiny()
    given, options = model.Options(label=(3, 5)).conditions(model, Files(), 3)
    np.testing.assert_array_equal(given["label"], [3, 5, 3])
    assert options.label == ()
    with pytest.raises(UsageError, match="classes are 0 to 9"):
        model.Options(label=(10,)).conditions(model, Files(), 3)


def test_guidance_one_is_no_guidance_and_an_interval_limits_it(draw):
    given = {"index": INDEX, "label": INDEX}
    plain, guided = draw(given, steps=4)["image"], draw(given, steps=4, guidance=4.0)["image"]
    assert np.abs(plain - guided).max() > 1e-3
    without = draw(given, steps=4, guidance=0.0)["image"]
    assert np.abs(plain - without).max() > 1e-3
    for scale in (0.0, 4.0):
        limited = draw(given, steps=4, guidance=scale, guidance_interval=(1e6, 2e6))["image"]
        np.testing.assert_allclose(limited, plain, atol=1e-5)


def test_frames_of_the_trajectory_end_with_the_sample(draw):
    out = draw({"index": INDEX, "label": INDEX}, steps=6, trajectory=3)
    assert out["trajectory"].shape == (4, 3, 8, 8, 1)
    np.testing.assert_array_equal(out["trajectory"][:, -1], out["image"])


def test_estimates_are_clipped_in_sampling_alone():
    model = tiny(target="x0")
    params = awake(params_of(model), scale=1.0)
    given, x = {"index": INDEX, "label": INDEX}, jnp.zeros((4, 8, 8, 1))

    def largest(options=None):
        denoise = sampling.denoiser(model, params, given, jax.random.key(0), options and model.check(options))
        return float(jnp.abs(denoise(x, model.process.level(jnp.float32(500)), x).image).max())

    assert largest(model.Options()) == largest(model.Options(guidance=3.0)) == 1.0
    assert largest(model.Options(clip=False)) > 1 and largest() > 1  # as in the ODE's likelihood
    assert not model.check(model.Options(init="x", invert=True)).clip
    for process in (EDM(), Flow()):  # whose papers clip nothing
        assert not (other := tiny(process=process, target="x0")).check(other.Options()).clip
        assert other.check(other.Options(clip=True)).clip
    draw = jax.jit(model.sample, static_argnums=4)
    clipped, free = (
        draw(params, {}, jax.random.key(0), given, model.Options(steps=2, clip=clip))["image"] for clip in (None, False)
    )
    assert np.abs(clipped - free).max() > 1e-3


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_ddim_ends_at_the_least_noise_where_asked(spacing):
    model = tiny(process=DDPM(steps=100))
    params = awake(params_of(model))
    given, draw = {"index": INDEX, "label": INDEX}, jax.jit(model.sample, static_argnums=4)
    clean, least = (
        draw(params, {}, jax.random.key(0), given, model.Options(steps=4, spacing=spacing, end=end, trajectory=3))
        for end in ("clean", "least")
    )
    assert 0 < np.abs(clean["image"] - least["image"]).max() < 0.1
    np.testing.assert_array_equal(least["trajectory"][:, -1], least["image"])


MISTAKES = [
    ({"sampler": "ddpm"}, "needs the DDPM process"),
    ({"churn": 10.0}, "churn"),
    ({"eta": 0.5, "sampler": "euler"}, "eta"),
    ({"spacing": "karras"}, "spacing"),
    ({"end": "least"}, "--end least goes with"),
    ({"compare": True}, "--compare"),
    ({"mask": "m.png"}, "--mask needs --init"),
    ({"invert": True}, "--invert needs --init"),
    ({"strength": 0.5}, "--strength needs --init"),
    ({"init": "i.png", "mask": "m.png", "invert": True}, "--mask starts from noise"),
    ({"init": "i.png", "mask": "m.png", "strength": 0.5}, "--mask starts from noise"),
    ({"init": "i.png", "resample": 2}, "--resample needs --mask"),
    ({"init": "i.png", "invert": True, "sampler": "dpmpp_2m"}, "runs backwards"),
    ({"init": "i.png", "invert": True, "sampler": "ddim", "eta": 0.5}, "runs backwards"),
    ({"init": "i.png", "invert": True, "clip": True}, "clipped"),
    ({"churn_min": 0.1}, "need --churn"),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES)
def test_options_that_do_not_go_with_the_model_are_one_line(options, words):
    model = tiny(process=Flow(), target="velocity")
    with pytest.raises(UsageError, match=words):
        model.check(model.Options(**options))


def test_inversion_needs_steps_that_can_be_undone():
    invert = {"init": "i.png", "invert": True}
    for model, options in (
        (tiny(), {"sampler": "ddpm"}),
        (tiny(process=EDM(), target="edm"), {"churn": 1.0}),
        (tiny(self_conditioning=True), {}),
    ):
        with pytest.raises(UsageError, match="--invert"):
            model.check(model.Options(**invert, **options))
    for model in (tiny(), tiny(process=EDM(), target="edm"), tiny(process=Flow(), target="velocity")):
        assert model.check(model.Options(**invert)).sampler in ("ddim", "heun", "euler")


def test_a_model_of_a_task_takes_what_belongs_to_its_task():
    hole, large = tiny(task="inpaint"), tiny(task="super_resolution")
    for model, options, words in (
        (hole, {"init": "i.png"}, "give --mask"),
        (hole, {"init": "i.png", "mask": "m.png", "resample": 2}, "--resample"),
        (large, {"init": "i.png", "mask": "m.png"}, "restores all"),
        (large, {"init": "i.png", "strength": 0.5}, "--strength and --invert"),
        (large, {"init": "i.png", "invert": True}, "--strength and --invert"),
        (large, {"init": "i.png", "compare": True}, "--compare"),
    ):
        with pytest.raises(UsageError, match=words):
            model.check(model.Options(**options))
    hole.check(hole.Options(init="i.png", mask="m.png"))
    hole.check(hole.Options(compare=True))
    large.check(large.Options(init="i.png"))


def test_churn_reaches_the_sampler(monkeypatch):
    seen = []

    def sample(denoise, x, grid, **options):
        seen.append(options["churn"])
        return x, ()

    monkeypatch.setattr(sampling.samplers, "sample", sample)
    model = tiny(process=EDM(), target="edm")
    options = model.Options(churn=40.0, churn_min=0.05, churn_max=50.0, churn_noise=1.003)
    model.sample({}, {}, jax.random.key(0), {"index": INDEX, "label": INDEX}, options)
    assert seen == [Churn(40.0, 0.05, 50.0, 1.003)]


def test_options_that_are_wrong_for_every_model():
    for options in (
        {"steps": 0},
        {"strength": 0.0},
        {"strength": NAN},
        {"resample": 0},
        {"guidance": NAN},
        {"guidance": float("inf")},
        {"churn": NAN},
        {"eta": NAN},
    ):
        with pytest.raises(UsageError):
            Diffusion.Options(**options)
    unlabelled = Diffusion(network=NET, conditional=False).resolve(IMAGES)
    with pytest.raises(UsageError, match="guidance"):
        unlabelled.check(unlabelled.Options(guidance=2.0))
    with pytest.raises(UsageError, match="label"):
        unlabelled.check(unlabelled.Options(label=(1,)))
