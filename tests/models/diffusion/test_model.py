"""The diffusion model: its loss, what its network is given, and what it refuses."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.diffusion.small import IMAGES, INDEX, NAN, NET, awake, batch_of, params_of, tiny

from genjax import load_experiment
from genjax.diffusion import DDPM, EDM, Estimate, Flow, Level
from genjax.errors import UsageError, UserError
from genjax.models import Diffusion, DiTConfig, SongUNetConfig, UNetConfig
from genjax.models.diffusion.degradation import degrade, random_rectangle
from genjax.networks.base import Denoiser
from genjax.registry import KINDS, register
from genjax.spec import DataSpec, Image, Label


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def _loss(model: Diffusion, params, batch, train):
    return model.loss("denoise", params, {}, batch, jax.random.key(1), step=0, train=train)


def loss_of(model: Diffusion, params=None, batch=None, train=True):
    return _loss(model, params or params_of(model), batch or batch_of(), train=train)


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
    many = batch_of() | {"index": np.arange(512, dtype=np.int32)}
    many = {k: np.resize(v, (512, *v.shape[1:])) if k != "index" else v for k, v in many.items()}
    loss = loss_of(model, batch=many).loss
    image = np.mean(np.square(batch_of()["image"]))
    np.testing.assert_allclose(loss, expected + (image - 1 / 3) * (target != "epsilon"), rtol=0.03)


def test_edm_loss_weighs_every_level_alike_at_initialization():
    """Karras et al. 2022, section 5: with their weighting the untrained network's loss is about 1 at every level."""
    assert 0.5 < float(loss_of(tiny(process=EDM(), target="edm", sigma_data=0.58)).loss) < 1.5


def test_learned_variance_has_its_own_gradient_and_leaves_the_mean_alone():
    model = tiny(variance="learned", process=DDPM(steps=50))
    params = awake(params_of(model), 0.05)

    def vlb(output_bias):
        changed = {"denoiser": {**params["denoiser"], "out": {**params["denoiser"]["out"], "bias": output_bias}}}
        return loss_of(model, changed).metrics["vlb"].value

    gradient = jax.jit(jax.grad(vlb))(params["denoiser"]["out"]["bias"]).reshape(4, 4, 2)
    assert np.abs(gradient[..., 1]).max() > 1e-6
    np.testing.assert_array_equal(gradient[..., 0], 0)


def test_the_bound_is_a_term_of_its_own_scaled_to_its_sum():
    model = tiny(variance="learned", process=DDPM(steps=50), vlb_weight=0.01)
    out = loss_of(model, awake(params_of(model)))
    assert set(out.terms) == {"mse", "vlb"} and set(out.metrics) == {"vlb"}
    assert out.terms["vlb"].scale == 0.01 * 50
    np.testing.assert_allclose(out.loss, out.terms["mse"].value + 0.5 * out.metrics["vlb"].value, rtol=1e-6)


def test_self_conditioning_feeds_the_first_estimate_back(monkeypatch):
    model = tiny(self_conditioning=True, target="x0")
    params = awake(params_of(model))
    calls, denoise = [], Diffusion.denoise

    def spy(self, params, x, level, previous=None, **given):
        calls.append((previous, denoise(self, params, x, level, previous, **given)[0].image))
        return Estimate(calls[-1][1]), calls[-1][1]

    monkeypatch.setattr(Diffusion, "denoise", spy)
    batch = {name: np.concatenate([value] * 4) for name, value in batch_of().items()}
    batch["index"] = np.arange(16, dtype=np.int32)

    def told(params):
        model.loss("denoise", params, {}, batch, jax.random.key(1), step=0, train=False)
        return calls

    (nothing, first), (previous, second) = jax.jit(told)(params)
    fed = np.asarray(previous).any(axis=(1, 2, 3))
    assert nothing is None and 3 < fed.sum() < 13  # half of 16
    np.testing.assert_array_equal(previous[fed], first[fed])
    changed = np.abs(second - first).max(axis=(1, 2, 3))
    assert (changed[fed] > 1e-3).all() and not changed[~fed].any()


def test_what_is_fed_back_is_clipped():
    model = tiny(self_conditioning=True)
    params = awake(params_of(model))
    x, level = jnp.zeros((4, 8, 8, 1)), Level(*map(jnp.float32, (10.0, 0.9, 0.4)))
    one, far = (model.denoise(params, x, level, jnp.full_like(x, v), given=INDEX)[1] for v in (1.0, 5.0))
    np.testing.assert_array_equal(one, far)


def test_labels_are_left_out_in_training_only():
    model = tiny(label_dropout=0.999999)
    params = params_of(model)
    table = params["denoiser"]["labels"]["embedding"]

    def loss(table, train):
        denoiser = {**params["denoiser"], "labels": {"embedding": table}}
        denoiser["out"] = jax.tree.map(lambda p: p + 0.1, denoiser["out"])
        denoiser["adapt"] = jax.tree.map(lambda p: p + 0.1, denoiser["adapt"])
        batch, key = batch_of(), jax.random.key(1)
        return model.loss("denoise", {"denoiser": denoiser}, {}, batch, key, step=0, train=train).loss

    trained, measured = (
        np.abs(jax.jit(jax.grad(functools.partial(loss, train=train)))(table)).sum(axis=1) for train in (True, False)
    )
    assert trained[10] > 0 and not trained[:10].any()
    assert measured[:4].all() and not measured[10]


@pytest.mark.parametrize("task", ["super_resolution", "colorize", "deblur", "inpaint"])
def test_tasks_make_images_worse_and_models_take_them(task):
    spec = DataSpec({"image": Image(8, 8, 3), "label": Label(10)})
    model = tiny(spec, task=task, label_dropout=0.0)
    batch, options = batch_of(3), model.Options(steps=2, compare=True)
    worse = degrade(task, batch["image"], jax.random.key(0), INDEX, factor=4)
    assert worse.shape[:3] == batch["image"].shape[:3] and np.abs(worse).max() <= 1
    assert model.needs(options) == ("image", "label")
    params = jax.jit(lambda key: model.init(key, spec)[0])(jax.random.key(0))
    out = jax.jit(model.sample, static_argnums=4)(params, {}, jax.random.key(0), batch, options)
    assert set(out) == {"image", "degraded"} and out["image"].shape == out["degraded"].shape == (4, 8, 8, 3)
    assert model.layout(options).beside == ("degraded", "image", "given.image")
    if task == "colorize":
        np.testing.assert_allclose(out["degraded"], np.repeat(worse, 3, axis=-1), atol=1e-6)


def test_holes_have_a_quarter_to_half_of_each_side():
    hole = np.asarray(random_rectangle(jax.random.key(0), np.arange(200), 16, 32))
    rows, columns = hole.any(axis=2).sum(axis=1), hole.any(axis=1).sum(axis=1)
    assert rows.min() == 5 and rows.max() == 8 and columns.min() == 9 and columns.max() == 16
    np.testing.assert_array_equal(hole.sum(axis=(1, 2, 3)), (rows * columns)[:, 0])


def test_the_model_says_which_fields_it_expects():
    assert Diffusion().expects() == {}
    fields = {"image": Image(8, 8, 1), "label": Label(10)}
    assert Diffusion(image_shape=(8, 8, 1), classes=10, conditional=True).expects() == fields
    model = tiny()
    assert model.expects() == fields and model.outputs(IMAGES) == {"image": Image(8, 8, 1)}
    assert model.needs(model.Options()) == () and model.layout(model.Options()).beside == ()


@pytest.mark.parametrize("where", ["loss", "evaluate"])
def test_bytes_in_the_place_of_images_are_refused(where):
    model = tiny()
    params, batch = params_of(model), batch_of()
    for image, says in ((np.uint8(batch["image"] * 127 + 128), "uint8"), (batch["image"] * 127 + 128, "reach")):
        wrong = {**batch, "image": image}
        with pytest.raises(UserError, match=says):
            if where == "loss":
                model.loss("denoise", params, {}, wrong, jax.random.key(0), step=0, train=True)
            else:
                model.evaluate(params, {}, wrong, jax.random.key(0))


def test_an_unknown_turn_is_refused():
    with pytest.raises(UserError, match="no turn 'generator'"):
        tiny().loss("generator", {}, {}, batch_of(), jax.random.key(0), step=0, train=True)


class OneConv(nn.Module):
    channels: int

    @nn.compact
    def __call__(self, x_BHWC, noise_B, label_B=None, index_B=None):
        return nn.Conv(self.channels, (3, 3))(x_BHWC)


def test_a_network_of_your_own_trains_and_is_sampled(monkeypatch):
    monkeypatch.setattr("genjax.registry.KINDS", dict(KINDS))

    @register
    @dataclasses.dataclass(frozen=True)
    class Mine(Denoiser):
        def build(self, out_channels, classes, dtype):
            return OneConv(out_channels)

    model = Diffusion(network=Mine()).resolve(IMAGES).on("cpu")
    params = params_of(model)
    assert np.isfinite(loss_of(model, params).loss) and model.stack is None and model.rules == ()
    out = model.sample(params, {}, jax.random.key(0), batch_of(), model.Options(steps=2))
    assert out["image"].shape == (4, 8, 8, 1)


SONG = SongUNetConfig(channels=8, multipliers=(1,), blocks=1, attention=())


def test_augmentation_is_told_in_training_and_unknown_to_evaluation_and_samples(monkeypatch):
    told = []
    apply = nn.Module.apply

    def watched(module, *args, **kwargs):
        told.append(args[5] if len(args) > 5 else None)
        return apply(module, *args, **kwargs)

    model = Diffusion(network=SONG, process=EDM(), target="edm", augment=0.5).resolve(IMAGES)
    params = jax.tree.map(lambda p: p + 0.1, params_of(model))
    assert params["denoiser"]["augment"]["kernel"].shape == (9, 8)
    monkeypatch.setattr(nn.Module, "apply", watched)

    @jax.jit
    def loss(params):
        out = model.loss("denoise", params, {}, batch_of(), jax.random.key(1), step=0, train=True)
        return out.loss, told[-1]

    trained, numbers = loss(params)
    assert numbers.shape == (4, 9) and np.isin(numbers[:, :2], (0, 1)).all()
    assert trained != loss_of(model, params, train=False).loss
    jax.eval_shape(lambda key: model.evaluate(params, {}, batch_of(), key), jax.random.key(1))
    jax.eval_shape(lambda key: model.sample(params, {}, key, batch_of(), model.Options(steps=2)), jax.random.key(0))
    assert len(told) > 3 and all(numbers is None for numbers in told[1:])


def test_augmented_images_are_those_that_are_denoised():
    """A network that knows nothing but x leaves the error of the augmented image: here of one turned upside down."""
    model = Diffusion(network=SONG, process=EDM(), target="edm", augment=1.0, conditional=False).resolve(IMAGES)
    constant = batch_of() | {"image": np.full((4, 8, 8, 1), 0.3, np.float32)}  # looks the same from everywhere
    losses = [loss_of(model, batch=constant, train=train).loss for train in (True, False)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_parts_that_do_not_go_together_are_one_line():
    for fields in ({"augment": 0.1}, {"augment": 0.1, "network": SONG, "task": "deblur"}, {"augment": 1.5}):
        with pytest.raises(UsageError, match="augment"):
            Diffusion(**fields)
    with pytest.raises(UsageError, match="Flow starts without any signal"):
        Diffusion(process=Flow(), target="epsilon")
    with pytest.raises(UsageError, match="DDPM starts without any signal"):
        Diffusion(process=DDPM(zero_snr=True), target="epsilon")
    with pytest.raises(UsageError, match="variance to learn"):
        Diffusion(process=EDM(), target="edm", variance="learned")
    for field in ("sigma_data", "min_snr_gamma"):
        for value in (0.0, -1.0, NAN):
            with pytest.raises(UsageError, match=field):
                Diffusion(**{field: value})
    for fields in ({"head_channels": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"dropout": NAN}):
        with pytest.raises(UsageError, match=next(iter(fields))):
            UNetConfig(**fields)
    with pytest.raises(UserError, match="grey"):
        tiny(task="colorize")
    with pytest.raises(UsageError, match="does not divide"):
        Diffusion(network=DiTConfig(patch=3)).resolve(IMAGES)
    with pytest.raises(UsageError, match="halves"):
        Diffusion(network=UNetConfig(multipliers=(1, 1, 1, 1, 1))).resolve(IMAGES)
    with pytest.raises(UsageError, match="factor"):
        Diffusion(network=NET, task="super_resolution", factor=3).resolve(IMAGES)
    with pytest.raises(UserError, match="needs the field `image`"):
        Diffusion().resolve(DataSpec({"label": Label(10)}))


def test_published_sizes():
    def count(recipe, spec):
        model = load_experiment(recipe).model.resolve(spec)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), spec)[0])
        return sum(np.prod(x.shape) for x in jax.tree.leaves(shapes["denoiser"]))

    cifar = DataSpec({"image": Image(32, 32, 3), "label": Label(10)})
    assert count("ddpm_cifar10", cifar) == 35_746_307  # Ho et al. 2020: 35.7M
    assert count("edm_cifar10", cifar) == 55_735_299  # Karras et al. 2022: 55.7M
    assert count("flow_cifar10", cifar) == 61_804_419  # Song et al.'s code: 61.8M
    imagenet = DataSpec({"image": Image(256, 256, 3), "label": Label(1000)})
    for recipe, millions in (("dit_s2_latent", 33), ("dit_xl2_imagenet256", 675)):  # Peebles & Xie 2022, table 4
        assert round(count(recipe, imagenet) / 1e6) == millions
