"""The diffusion system: what its parts make together. Samplers and processes have tests of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import IMAGES, engine

from genjax.diffusion import DDPM, EDM, Flow
from genjax.errors import UsageError
from genjax.models import Diffusion, DiTConfig, LatentDiffusion, UNetConfig, dit
from genjax.models.degradation import degrade, random_rectangle
from genjax.spec import DataSpec

NET = DiTConfig(patch=4, layers=1, width=16, heads=2)
INDEX = np.arange(4, dtype=np.int32)


def tiny(**fields) -> Diffusion:
    return Diffusion(network=NET, dtype="float32", **fields).resolve(IMAGES)


def batch_of(model: Diffusion) -> dict:
    image = np.random.default_rng(0).uniform(-1, 1, (4, *IMAGES.image_shape)).astype(np.float32)
    return {"index": INDEX, "image": image, "label": INDEX % 10}


def loss_of(model: Diffusion, params=None):
    params = params or model.init(jax.random.key(0), IMAGES)[0]
    return model.loss("denoise", params, {}, batch_of(model), jax.random.key(1), step=0, train=True)


@pytest.mark.parametrize(
    ("process", "target", "expected"),
    [
        (DDPM(), "epsilon", 1.0),  # of a network that returns zeros: the variance of what it should return
        (Flow(), "velocity", 4 / 3),
        (DDPM(), "x0", 1 / 3),
    ],
)
def test_the_loss_of_a_network_that_returns_zeros_is_the_targets_mean_square(process, target, expected):
    model = tiny(process=process, target=target)
    params = model.init(jax.random.key(0), IMAGES)[0]
    many = batch_of(model) | {"index": np.arange(512, dtype=np.int32)}
    many = {k: np.resize(v, (512, *v.shape[1:])) if k != "index" else v for k, v in many.items()}
    loss = model.loss("denoise", params, {}, many, jax.random.key(1), step=0, train=True).loss
    image = np.mean(np.square(batch_of(model)["image"]))
    np.testing.assert_allclose(loss, expected + (image - 1 / 3) * (target != "epsilon"), rtol=0.03)


def test_edm_loss_weighs_every_level_alike_at_initialization():
    """Karras et al. 2022, section 5: with their weighting the untrained network's loss is about 1 at every level."""
    assert 0.5 < float(loss_of(tiny(process=EDM(), target="edm", sigma_data=0.58)).loss) < 1.5


def test_learned_variance_has_its_own_gradient_and_leaves_the_mean_alone():
    model = tiny(variance="learned", process=DDPM(steps=50))
    params = model.init(jax.random.key(0), IMAGES)[0]
    params = jax.tree.map(lambda p: p + 0.05 * jax.random.normal(jax.random.key(2), p.shape), params)

    def vlb(output_bias):
        changed = {"denoiser": {**params["denoiser"], "out": {**params["denoiser"]["out"], "bias": output_bias}}}
        return loss_of(model, changed).metrics["vlb"]

    gradient = jax.grad(vlb)(params["denoiser"]["out"]["bias"]).reshape(4, 4, 2)
    assert np.abs(gradient[..., 1]).max() > 1e-6
    np.testing.assert_array_equal(gradient[..., 0], 0)


def test_self_conditioning_feeds_the_first_estimate_back():
    model = tiny(self_conditioning=True)
    params = model.init(jax.random.key(0), IMAGES)[0]
    assert params["denoiser"]["patches"]["kernel"].shape[0] == 4 * 4 * 2
    assert np.isfinite(loss_of(model, params).loss)


def test_labels_are_left_out_in_training_only():
    model = tiny(label_dropout=0.999999)
    params = model.init(jax.random.key(0), IMAGES)[0]
    table = params["denoiser"]["labels"]["embedding"]

    def loss(table, train):
        denoiser = {**params["denoiser"], "labels": {"embedding": table}}
        denoiser["out"] = jax.tree.map(lambda p: p + 0.1, denoiser["out"])
        denoiser["adapt"] = jax.tree.map(lambda p: p + 0.1, denoiser["adapt"])
        batch, key = batch_of(model), jax.random.key(1)
        return model.loss("denoise", {"denoiser": denoiser}, {}, batch, key, step=0, train=train).loss

    trained, measured = (jnp.abs(jax.grad(loss)(table, train)).sum(axis=1) for train in (True, False))
    assert trained[10] > 0 and not trained[:10].any()
    assert measured[:4].all() and not measured[10]


@pytest.mark.parametrize("task", ["super_resolution", "colorize", "deblur", "inpaint"])
def test_tasks_make_images_worse_and_models_take_them(task):
    model = tiny(task=task, label_dropout=0.0)
    batch = batch_of(model)
    worse = degrade(task, batch["image"], jax.random.key(0), INDEX, factor=4)
    assert worse.shape[:3] == batch["image"].shape[:3] and np.abs(worse).max() <= 1
    params = model.init(jax.random.key(0), IMAGES)[0]
    out = model.sample(params, {}, jax.random.key(0), batch, model.Options(steps=2, compare=True))
    assert out["image"].shape == (4, 8, 24, 1)
    np.testing.assert_array_equal(out["image"][:, :, 16:], batch["image"])


def test_holes_have_a_quarter_to_half_of_each_side():
    hole = np.asarray(random_rectangle(jax.random.key(0), np.arange(200), 16, 32))
    rows, columns = hole.any(axis=2).sum(axis=1), hole.any(axis=1).sum(axis=1)
    assert rows.min() == 5 and rows.max() == 8 and columns.min() == 9 and columns.max() == 16
    np.testing.assert_array_equal(hole.sum(axis=(1, 2, 3)), (rows * columns)[:, 0])


@pytest.fixture(scope="module")
def trained():
    built = engine("diffusion-dit")
    return built, built.init()


def test_known_pixels_stay_and_the_mask_is_painted(trained):
    built, state = trained
    init = np.broadcast_to(np.linspace(-1, 1, 8, dtype=np.float32)[None, :, None, None], (4, 8, 8, 1))
    mask = np.zeros((4, 8, 8, 1), np.float32)
    mask[:, :, 4:] = 1
    given = {"index": INDEX, "label": INDEX, "init": init, "mask": mask}
    for resample in (1, 3):
        options = built.model.Options(steps=4, init="x", mask="y", sampler="euler", resample=resample)
        image = built.sample(state, given, 0, options)["image"]
        np.testing.assert_allclose(image[:, :, :4], init[:, :, :4], atol=1e-6)
        assert np.abs(image[:, :, 4:] - init[:, :, 4:]).max() > 0.1


def test_inversion_returns_the_image_and_strength_decides_how_much_is_kept(trained):
    built, state = trained
    init = np.random.default_rng(0).uniform(-0.9, 0.9, (4, 8, 8, 1)).astype(np.float32)
    given = {"index": INDEX, "label": INDEX, "init": init}

    def error(**options):
        image = built.sample(state, given, 0, built.model.Options(steps=20, init="x", sampler="euler", **options))[
            "image"
        ]
        return np.abs(image - init).max()

    assert error(strength=1.0, invert=True) < 1e-2
    assert error(strength=0.05) < error(strength=1.0)


def test_guidance_one_is_no_guidance_and_an_interval_limits_it(trained):
    built, state = trained
    keys = iter(jax.random.split(jax.random.key(0), 100))  # an untrained network returns zeros
    state = state.replace(params=jax.tree.map(lambda p: p + 0.1 * jax.random.normal(next(keys), p.shape), state.params))
    given = {"index": INDEX, "label": INDEX}

    def draw(**options):
        return built.sample(state, given, 0, built.model.Options(steps=4, **options))["image"]

    plain, guided = draw(), draw(guidance=4.0)
    assert np.abs(plain - guided).max() > 1e-3
    np.testing.assert_allclose(draw(guidance=4.0, guidance_interval=(1e6, 2e6)), plain, atol=1e-5)


def test_frames_of_the_trajectory_end_with_the_sample(trained):
    built, state = trained
    out = built.sample(state, {"index": INDEX, "label": INDEX}, 0, built.model.Options(steps=6, trajectory=3))
    assert out["trajectory"].shape == (4, 3, 8, 8, 1)
    np.testing.assert_array_equal(out["trajectory"][:, -1], out["image"])


MISTAKES = [
    ({"sampler": "ddpm"}, "needs the DDPM process"),
    ({"churn": 10.0}, "churn"),
    ({"eta": 0.5, "sampler": "euler"}, "eta"),
    ({"spacing": "karras"}, "spacing"),
    ({"compare": True}, "--compare"),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES)
def test_options_that_do_not_go_with_the_model_are_one_line(options, words):
    model = tiny(process=Flow(), target="velocity")
    with pytest.raises(UsageError, match=words):
        model.check(model.Options(**options))


def test_options_that_are_wrong_for_every_model():
    for options in ({"steps": 0}, {"mask": "m.png"}, {"invert": True}, {"strength": 0.0}, {"resample": 0}):
        with pytest.raises(UsageError):
            Diffusion.Options(**options)
    unlabelled = Diffusion(network=NET, conditional=False).resolve(IMAGES)
    with pytest.raises(UsageError, match="guidance"):
        unlabelled.check(unlabelled.Options(guidance=2.0))
    with pytest.raises(UsageError, match="label"):
        unlabelled.check(unlabelled.Options(label=(1,)))


def test_parts_that_do_not_go_together_are_one_line():
    with pytest.raises(UsageError, match="flow starts without any signal"):
        Diffusion(process=Flow(), target="epsilon")
    with pytest.raises(UsageError, match="variance to learn"):
        Diffusion(process=EDM(), target="edm", variance="learned")
    with pytest.raises(UsageError, match="does not divide"):
        Diffusion(network=DiTConfig(patch=3)).resolve(IMAGES)
    with pytest.raises(UsageError, match="halves"):
        Diffusion(network=UNetConfig(multipliers=(1, 1, 1, 1, 1))).resolve(IMAGES)
    with pytest.raises(UsageError, match="factor"):
        Diffusion(network=NET, task="super_resolution", factor=3).resolve(IMAGES)


def test_latents_are_scaled_and_come_encoded_or_as_images():
    spec = DataSpec(image_shape=(8, 8, 1), classes=10, latent_shape=(4, 4, 2), latent_std=2.0)
    first_stage = dataclasses.replace(LatentDiffusion().first_stage, widths=(8, 16), blocks=1, latent=2)
    model = LatentDiffusion(network=DiTConfig(patch=2, layers=1, width=16, heads=2), first_stage=first_stage).resolve(
        spec
    )
    assert model.shape == (4, 4, 2) and model.latent_std == 2.0
    params = model.init(jax.random.key(0), spec)[0]
    moments = np.concatenate([np.full((4, 4, 4, 2), 3.0), np.full((4, 4, 4, 2), -100.0)], axis=-1)
    x0 = model.encode(params, {"index": INDEX, "latent": moments}, jax.random.key(0))
    np.testing.assert_allclose(x0, 1.5, atol=1e-6)
    batch = batch_of(model)
    assert model.encode(params, batch, jax.random.key(0)).shape == (4, 4, 4, 2)
    wrong = dataclasses.replace(spec, latent_shape=(2, 2, 2))
    with pytest.raises(Exception, match="latents have the shape"):
        LatentDiffusion(network=NET, first_stage=first_stage).resolve(wrong)


def test_published_sizes():
    def count(model, entry="denoiser"):
        spec = DataSpec(image_shape=model.image_shape, classes=model.classes)
        shapes = jax.eval_shape(lambda: model.resolve(spec).init(jax.random.key(0), spec)[0])
        return sum(np.prod(x.shape) for x in jax.tree.leaves(shapes[entry]))

    ddpm = Diffusion(image_shape=(32, 32, 3), conditional=False)
    assert count(ddpm) == 35_746_307  # Ho et al. 2020: 35.7M
    xl = LatentDiffusion(network=dit("XL", 2), image_shape=(256, 256, 3), classes=1000, variance="learned")
    assert round(count(xl) / 1e6) == 675  # Peebles & Xie 2022, table 4
