"""The diffusion system: what its parts make together. Samplers and processes have tests of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion.mixture import Mixture
from PIL import Image
from systems import IMAGES
from systems import tiny as tiny_experiment

from genjax import load_experiment
from genjax.diffusion import DDPM, EDM, Churn, Estimate, Flow, Level, likelihood
from genjax.engine.engine import Engine
from genjax.errors import UsageError, UserError
from genjax.evaluation.sampling import conditions
from genjax.models import Diffusion, DiTConfig, UNetConfig
from genjax.models import diffusion as system
from genjax.models.degradation import degrade, random_rectangle
from genjax.nn import noise
from genjax.spec import DataSpec

NET = DiTConfig(patch=4, layers=1, width=16, heads=2)
INDEX = np.arange(4, dtype=np.int32)


def tiny(**fields) -> Diffusion:
    return Diffusion(network=NET, dtype="float32", **fields).resolve(IMAGES)


def batch_of(model: Diffusion) -> dict:
    image = np.random.default_rng(0).uniform(-1, 1, (4, *IMAGES.image_shape)).astype(np.float32)
    return {"index": INDEX, "image": image, "label": INDEX % 10}


def awake(params, scale: float = 0.1):
    """Parameters moved at random: an untrained network returns zeros, and every map that it makes is the identity."""
    keys = iter(jax.random.split(jax.random.key(0), 100))
    return jax.tree.map(lambda p: p + scale * jax.random.normal(next(keys), p.shape), params)


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


def test_self_conditioning_feeds_the_first_estimate_back(monkeypatch):
    model = tiny(self_conditioning=True, target="x0")
    params = awake(model.init(jax.random.key(0), IMAGES)[0])
    calls, denoise = [], Diffusion.denoise

    def spy(self, params, x, level, previous=None, **given):
        calls.append((previous, denoise(self, params, x, level, previous, **given)[0].image))
        return Estimate(calls[-1][1]), calls[-1][1]

    monkeypatch.setattr(Diffusion, "denoise", spy)
    batch = {name: np.concatenate([value] * 4) for name, value in batch_of(model).items()}
    batch["index"] = np.arange(16, dtype=np.int32)
    model.loss("denoise", params, {}, batch, jax.random.key(1), step=0, train=False)
    (nothing, first), (previous, second) = calls
    fed = np.asarray(previous).any(axis=(1, 2, 3))
    assert nothing is None and 3 < fed.sum() < 13  # half of 16
    np.testing.assert_array_equal(previous[fed], first[fed])
    changed = np.abs(second - first).max(axis=(1, 2, 3))
    assert (changed[fed] > 1e-3).all() and not changed[~fed].any()


def test_what_is_fed_back_is_clipped():
    model = tiny(self_conditioning=True)
    params = awake(model.init(jax.random.key(0), IMAGES)[0])
    x, level = jnp.zeros((4, 8, 8, 1)), Level(*map(jnp.float32, (10.0, 0.9, 0.4)))
    one, far = (model.denoise(params, x, level, jnp.full_like(x, v), label_B=INDEX)[1] for v in (1.0, 5.0))
    np.testing.assert_array_equal(one, far)


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
    spec = dataclasses.replace(IMAGES, image_shape=(8, 8, 3))
    model = Diffusion(network=NET, dtype="float32", task=task, label_dropout=0.0).resolve(spec)
    batch = batch_of(model)
    batch["image"] = np.concatenate([batch["image"]] * 3, axis=-1)
    worse = degrade(task, batch["image"], jax.random.key(0), INDEX, factor=4)
    assert worse.shape[:3] == batch["image"].shape[:3] and np.abs(worse).max() <= 1
    params = model.init(jax.random.key(0), spec)[0]
    out = model.sample(params, {}, jax.random.key(0), batch, model.Options(steps=2, compare=True))
    assert out["image"].shape == (4, 8, 24, 3)
    np.testing.assert_array_equal(out["image"][:, :, 16:], batch["image"])


def test_holes_have_a_quarter_to_half_of_each_side():
    hole = np.asarray(random_rectangle(jax.random.key(0), np.arange(200), 16, 32))
    rows, columns = hole.any(axis=2).sum(axis=1), hole.any(axis=1).sum(axis=1)
    assert rows.min() == 5 and rows.max() == 8 and columns.min() == 9 and columns.max() == 16
    np.testing.assert_array_equal(hole.sum(axis=(1, 2, 3)), (rows * columns)[:, 0])


@pytest.fixture(scope="module")
def trained():
    experiment = tiny_experiment("diffusion-dit")
    model = dataclasses.replace(experiment.model, self_conditioning=False)
    built = Engine(dataclasses.replace(experiment, model=model), IMAGES, jax.devices()[:1])
    state = built.init()
    return built, state.replace(params=awake(state.params))


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
        other = built.sample(state, {**given, "init": -init}, 0, options)["image"]
        assert np.abs(other - image)[:, :, 4:].max() > 1e-2  # what is painted fits what is known


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
    assert 0.1 < error(strength=0.05) < error(strength=1.0)


@pytest.mark.parametrize("options", [{"invert": True}, {"invert": True, "strength": 1.0}, {}, {"mask": True}])
def test_options_survive_that_their_files_are_taken_out(trained, tmp_path, options):
    built, state = trained
    for name in ("init", "mask"):
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / f"{name}.png")
    options = {**options, "mask": str(tmp_path / "mask.png")} if "mask" in options else options
    chosen = built.model.Options(init=str(tmp_path / "init.png"), steps=4, **options)
    given, stripped = conditions(built.model, chosen, IMAGES, None, None, 2)
    image = built.sample(state, {**given, "index": INDEX[:2]}, 0, stripped)["image"]
    assert image.shape == (2, 8, 8, 1) and np.isfinite(image).all()


def test_guidance_one_is_no_guidance_and_an_interval_limits_it(trained):
    built, state = trained
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


def test_estimates_are_clipped_in_sampling_alone():
    model = tiny(target="x0")
    params = awake(model.init(jax.random.key(0), IMAGES)[0], scale=1.0)
    given, x = {"index": INDEX, "label": INDEX}, jnp.zeros((4, 8, 8, 1))

    def largest(options=None):
        denoise = model._denoiser(params, given, jax.random.key(0), options and model.check(options))
        return float(jnp.abs(denoise(x, model.process.level(jnp.float32(500)), x).image).max())

    assert largest(model.Options()) == largest(model.Options(guidance=3.0)) == 1.0
    assert largest(model.Options(clip=False)) > 1 and largest() > 1  # as in a likelihood
    assert not model.check(model.Options(init="x", invert=True)).clip
    draw = jax.jit(model.sample, static_argnums=4)
    clipped, free = (
        draw(params, {}, jax.random.key(0), given, model.Options(steps=2, clip=clip))["image"] for clip in (None, False)
    )
    assert np.abs(clipped - free).max() > 1e-3


LINE = Mixture(shape=(1, 1, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known(Diffusion):
    """A model that has learned its data, a mixture of Gaussians, exactly."""

    def denoise(self, params, x, level, previous=None, **given):
        one = lambda x, *level: LINE.denoise(x[None], Level(*level)).image[0]  # noqa: E731
        image = jax.vmap(one, (0, *[0 if jnp.ndim(v) else None for v in level]))(x, *level)
        return Estimate(image), image


@pytest.mark.parametrize("process", [DDPM(), DDPM("cosine"), EDM(), Flow(), Flow(3.0)], ids=str)
def test_the_likelihood_of_evaluate_is_that_of_the_data(process):
    """On a line Hutchinson's estimate is exact: what is left are the errors of the steps, and the dequantization."""
    model = Known(process=process, target="x0", likelihood_steps=50, image_shape=LINE.shape, conditional=False)
    x = LINE.draw(256).astype(np.float32)
    batch = {"index": np.arange(256, dtype=np.int32), "image": x}
    evaluate = jax.jit(lambda batch: model.evaluate({}, {}, batch, jax.random.key(2)))
    total, count = evaluate(batch)["ode50_bits_per_dim"]
    truth = float(np.mean(-LINE.log_density_B(x)) / np.log(2) + np.log2(127.5))
    assert count == 256 and float(total / count) == pytest.approx(truth, abs=0.01)


def test_every_draw_of_an_evaluation_has_its_own_key(monkeypatch):
    keys = []

    def record(where, name, key_of, result=None):
        original = getattr(where, name)

        def spy(*args, **options):
            keys.append((name, tuple(np.ravel(jax.random.key_data(key_of(args, options))))))
            return result(args) if result else original(*args, **options)

        monkeypatch.setattr(where, name, spy)

    record(noise, "normal", lambda args, _: args[0])
    record(likelihood, "dequantize", lambda args, _: args[1], lambda args: args[0])
    record(likelihood, "ode_bits_per_dim", lambda _, options: options["key"], lambda args: jnp.zeros(4))
    record(system, "degrade", lambda args, _: args[2])
    model = Known(task="inpaint", likelihood_steps=2, image_shape=LINE.shape, conditional=False)
    batch = {"index": INDEX, "image": LINE.draw(4).astype(np.float32)}
    model.evaluate({}, {}, batch, jax.random.key(0))
    assert {name for name, _ in keys} == {"normal", "dequantize", "ode_bits_per_dim", "degrade"}
    assert len({key for _, key in keys}) == len(keys), keys


NAN = float("nan")
MISTAKES = [
    ({"sampler": "ddpm"}, "needs the DDPM process"),
    ({"churn": 10.0}, "churn"),
    ({"eta": 0.5, "sampler": "euler"}, "eta"),
    ({"spacing": "karras"}, "spacing"),
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

    monkeypatch.setattr(system.samplers, "sample", sample)
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


def test_parts_that_do_not_go_together_are_one_line():
    with pytest.raises(UsageError, match="flow starts without any signal"):
        Diffusion(process=Flow(), target="epsilon")
    with pytest.raises(UsageError, match="variance to learn"):
        Diffusion(process=EDM(), target="edm", variance="learned")
    for field in ("sigma_data", "min_snr_gamma"):
        for value in (0.0, -1.0, NAN):
            with pytest.raises(UsageError, match=field):
                Diffusion(**{field: value})
    for fields in ({"head_channels": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"dropout": NAN}):
        with pytest.raises(UsageError, match=next(iter(fields))):
            UNetConfig(**fields)
    for steps in (-1, 1):
        with pytest.raises(UsageError, match="likelihood_steps"):
            Diffusion(likelihood_steps=steps)
    with pytest.raises(UserError, match="grey"):
        tiny(task="colorize")
    with pytest.raises(UsageError, match="does not divide"):
        Diffusion(network=DiTConfig(patch=3)).resolve(IMAGES)
    with pytest.raises(UsageError, match="halves"):
        Diffusion(network=UNetConfig(multipliers=(1, 1, 1, 1, 1))).resolve(IMAGES)
    with pytest.raises(UsageError, match="factor"):
        Diffusion(network=NET, task="super_resolution", factor=3).resolve(IMAGES)


def test_published_sizes():
    def count(recipe, spec):
        model = load_experiment(recipe).model.resolve(spec)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), spec)[0])
        return sum(np.prod(x.shape) for x in jax.tree.leaves(shapes["denoiser"]))

    assert count("ddpm_cifar10", DataSpec(image_shape=(32, 32, 3), classes=10)) == 35_746_307  # Ho et al. 2020: 35.7M
    imagenet = DataSpec(image_shape=(256, 256, 3), classes=1000)
    for recipe, millions in (("dit_s2_latent", 33), ("dit_xl2_imagenet256", 675)):  # Peebles & Xie 2022, table 4
        assert round(count(recipe, imagenet) / 1e6) == millions
