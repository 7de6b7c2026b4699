"""StyleGAN2: its penalties by hand, style mixing, truncation, walks, projection, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image as Pillow
from systems import BATCH, batch, engine

from genjax.data.pictures import read_image
from genjax.engine.optimizers import lazily
from genjax.errors import UsageError
from genjax.experiment import Optim
from genjax.models import StyleGAN2, StyleGAN2Config
from genjax.models.gan import StyleGAN2Options
from genjax.recipes import load_experiment
from genjax.spec import DataSpec, Image, Label

KEY = jax.random.key(3)
LABEL = {"label": np.arange(BATCH, dtype=np.int32) % 10}
CONDITIONS = {"index": np.arange(BATCH, dtype=np.int32), **LABEL}


@functools.cache
def built():
    run = engine("stylegan2")
    return run.model, run.init()


def loss(turn, params=None, state=None, **fields):
    model, made = built()
    model = dataclasses.replace(model, augment=None, **fields)
    state = made.model_state if state is None else state
    return model.loss(turn, params or made.params, state, batch("stylegan2"), KEY, step=jnp.int32(0), train=True)


def test_the_path_length_is_that_of_the_jacobian():
    model, made = built()
    model, index, label = dataclasses.replace(model, augment=None), jnp.arange(2), jnp.arange(2)
    w_BLW, _ = model.styles(made.params, label, KEY, index)
    jacobian = jax.jit(jax.jacobian(lambda w: model.synthesize(made.params, w, KEY, index)))(w_BLW)
    y = jax.random.normal  # the noise of the two examples, drawn as the model does
    y = jnp.stack([y(jax.random.fold_in(jax.random.fold_in(KEY, 2), i), (8, 8, 1)) for i in index]) / 8
    expected = [jnp.sqrt((jnp.tensordot(y[b], jacobian[b, ..., b, :, :], 3) ** 2).sum(1).mean()) for b in index]
    np.testing.assert_allclose(model._path_length(made.params, label, KEY, index), expected, rtol=1e-4)


def test_r1_is_the_squared_gradient_and_a_lazy_penalty_is_as_much_stronger():
    model, made = built()
    data = batch("stylegan2")

    def logit(image, label):
        return model.judge(made.params, image[None], label[None])[0]

    gradient = jax.jit(jax.vmap(jax.grad(logit)))(data["image"], data["label"])
    mean = float((gradient**2).sum((1, 2, 3)).mean())
    every = {every: float(loss("r1", r1_every=every, r1_gamma=10.0).loss) for every in (1, 16)}
    assert every[1] == pytest.approx(5 * mean, rel=1e-4) and every[16] == pytest.approx(16 * every[1], rel=1e-5)


def test_the_path_penalty_is_measured_from_the_mean_before_the_batch():
    model, made = built()
    state = {**made.model_state, "path": {"mean": jnp.float32(0.25)}}
    out = loss("path", state=state, path_weight=2.0, path_every=4)
    length = out.sums["length"] / out.sums["images"]
    _, new = model.update("path", made.params, state, out.sums, {}, step=jnp.int32(0))
    assert float(new["path"]["mean"]) == pytest.approx(0.25 + 0.01 * (float(length) - 0.25), rel=1e-5)
    model0 = dataclasses.replace(model, augment=None)
    length_B = model0._path_length(made.params, jnp.asarray(batch("stylegan2")["label"]), KEY, jnp.arange(BATCH))
    assert float(out.loss) == pytest.approx(8 * float(((length_B - 0.25) ** 2).mean()), rel=1e-4)


def test_adams_rate_and_betas_are_corrected_for_lazy_penalties():
    turns = StyleGAN2().turns
    for entry, share in {"discriminator": 16 / 17, "synthesis": 4 / 5, "mapping": 4 / 5}.items():
        optim, factor = lazily(Optim(b1=0.0, b2=0.99), turns, entry)
        assert factor == pytest.approx(share) and optim.b2 == pytest.approx(0.99**share)


def test_the_average_w_takes_its_share_of_the_batch():
    model, made = built()
    out = loss("generator")
    _, state = model.update("generator", made.params, made.model_state, out.sums, {}, step=jnp.int32(0))
    w_BW = model.map(made.params, model.latent(KEY, jnp.arange(BATCH)), jnp.asarray(batch("stylegan2")["label"]))
    np.testing.assert_allclose(state["style"]["average"], 0.005 * w_BW.mean(0), rtol=1e-4, atol=1e-6)


def test_styles_of_the_digits_recipe_depend_more_on_the_latents_than_on_the_label():
    """Where labels outweighed latents, the generator came to make one image a class."""
    model = load_experiment("stylegan2_digits").model
    model = model.resolve(DataSpec({"image": Image(8, 8, 1), "label": Label(10)}))
    params, _ = model.init(KEY, DataSpec({}))
    index = jnp.arange(1000)
    w_KNW = model.map(params, model.latent(KEY, index), index % 10).reshape(-1, 10, model.network.style).swapaxes(0, 1)
    assert w_KNW.var(1).mean() > 2 * w_KNW.mean(1).var(0).mean()


def test_mixed_images_have_one_style_up_to_a_layer_and_another_from_there_on():
    model, made = built()
    index = jnp.arange(64)
    label = index % 10
    mixed, w_BW = dataclasses.replace(model, mixing=0.5).styles(made.params, label, KEY, index)
    other = model.map(made.params, model.latent(KEY, index, 1), label)
    first = np.isclose(mixed, w_BW[:, None]).all(2)
    assert (first | np.isclose(mixed, other[:, None]).all(2)).all()
    assert first[:, 0].all() and (np.diff(first.astype(int)) <= 0).all()
    assert 0.3 < first.all(1).mean() < 0.7


def test_truncation_leads_to_the_image_of_the_average_w():
    model, made = built()
    state = {**made.model_state, "style": {"average": jnp.full(8, 0.1)}}
    images = model.sample(made.params, state, KEY, CONDITIONS, StyleGAN2Options(truncation=0.0))["image"]
    np.testing.assert_allclose(images, images[:1].repeat(BATCH, 0), atol=1e-5)  # the noise has no strength at first
    half, whole = (
        model.sample(made.params, state, KEY, CONDITIONS, StyleGAN2Options(truncation=t))["image"] for t in (0.5, 1)
    )
    assert jnp.abs(half - images).mean() < jnp.abs(whole - images).mean()


def test_a_walk_passes_through_its_latents_at_small_steps():
    model, made = built()
    options = StyleGAN2Options(mode="walk", frames=8)
    given = CONDITIONS | {"label": np.zeros(BATCH, np.int32), "label_next": np.zeros(BATCH, np.int32)}
    walk = model.sample(made.params, made.model_state, KEY, given, options)["image"]
    ends = model.sample(made.params, made.model_state, KEY, given, StyleGAN2Options())["image"]
    np.testing.assert_allclose(walk[::8], ends[:2], atol=1e-5)
    steps = jnp.abs(jnp.diff(walk, axis=0)).mean((1, 2, 3))
    assert steps.max() < jnp.abs(ends[0] - ends[1]).mean()


@pytest.mark.slow
def test_projection_finds_an_image_that_the_generator_made():
    model, made = built()
    target = model.sample(made.params, made.model_state, KEY, CONDITIONS, StyleGAN2Options())["image"][:2]
    given = {name: value[:2] for name, value in CONDITIONS.items()} | {"project": target}
    found = [
        model.sample(
            made.params, made.model_state, jax.random.key(9), given, StyleGAN2Options(project=("x", "y"), steps=n)
        )
        for n in (1, 100)
    ]
    errors = [float(((out["image"] - target) ** 2).mean()) for out in found]
    assert errors[1] < 0.2 * errors[0]


def test_a_target_of_another_shape_is_refused(tmp_path):
    Pillow.new("L", (20, 16)).save(tmp_path / "wide.png")
    with pytest.raises(UsageError, match=r"--project '.*' is 20 x 16 pixels, and the model's images are 8 x 8"):
        read_image(str(tmp_path / "wide.png"), (8, 8, 1), "--project", crop=False)
    Pillow.new("L", (20, 20)).save(tmp_path / "square.png")
    assert read_image(str(tmp_path / "square.png"), (8, 8, 1), "--project", crop=False).shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StyleGAN2(mixing=1.5), "mixing must be in"),
        (lambda: StyleGAN2(r1_every=0), "r1_every must be at least 1"),
        (lambda: StyleGAN2(path_weight=-1.0), "path_weight must not be negative"),
        (lambda: StyleGAN2Config(latent=0), "latent must be at least 1"),
        (lambda: StyleGAN2Options(truncation=-1.0), "truncation"),
        (lambda: StyleGAN2Options(mode="walk", project=("face.png",)), "leave --mode walk out"),
    ],
)
def test_impossible_settings_are_refused(make, words):
    with pytest.raises(UsageError, match=words):
        make()
