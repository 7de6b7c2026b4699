"""Schedules in closed form; updates against those of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from systems import engine

from genjax.engine import optimizers
from genjax.errors import UsageError
from genjax.experiment import EntryOptim, Optim
from genjax.models.base import Turn

PARAMS = {
    "dense": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.ones(3)},
    "norm": {"scale": jnp.ones(3)},
    "blocks": {
        "norm": {"scale": jnp.ones((4, 3))},
        "qkv": {"kernel": jnp.ones((4, 2, 3)), "bias": jnp.ones((4, 3, 2))},
    },
    "embedding": jnp.ones((5, 2)),
    "log_sigma": jnp.ones(()),
    "gain": jnp.ones(3),
}
GRADS = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), PARAMS)


def rates(steps=100, **fields):
    schedule = optimizers.schedule(EntryOptim(learning_rate=0.5, **fields), steps)
    return np.array([schedule(step) for step in range(steps + 1)])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_is_a_straight_line_from_one_share_of_the_peak(schedule):
    warm = rates(schedule=schedule, warmup_steps=10)
    np.testing.assert_allclose(warm[:10], 0.5 * np.arange(1, 11) / 10, rtol=1e-6)
    assert warm[10] == warm.max() == pytest.approx(0.5)
    assert rates(schedule=schedule, warmup_steps=1)[0] == pytest.approx(0.5)


def test_a_schedule_of_its_own_length_does_not_follow_the_steps_of_the_run():
    short, long = (rates(steps, schedule="cosine", schedule_steps=40, warmup_steps=5) for steps in (40, 100))
    np.testing.assert_array_equal(long[:41], short)
    assert set(long[40:]) == {0.0} and len(long) == 101


def test_linear_and_cosine_go_from_the_peak_to_the_final_rate():
    done = np.linspace(0, 1, 91)  # after 10 steps of warm-up
    linear, cosine = (
        rates(schedule=name, warmup_steps=10, final_learning_rate=0.1)[10:] for name in ("linear", "cosine")
    )
    np.testing.assert_allclose(linear, 0.5 - 0.4 * done, rtol=1e-5)
    np.testing.assert_allclose(cosine, 0.1 + 0.4 * (1 + np.cos(np.pi * done)) / 2, rtol=1e-5)
    assert rates(schedule="cosine")[-1] == pytest.approx(0, abs=1e-7)
    assert (rates() == 0.5).all()


def test_decay_spares_biases_scales_and_single_numbers_stacked_or_not():
    assert optimizers.decay_mask(PARAMS) == {
        "dense": {"kernel": True, "bias": False},
        "norm": {"scale": False},
        "blocks": {"norm": {"scale": False}, "qkv": {"kernel": True, "bias": False}},
        "embedding": True,
        "log_sigma": False,
        "gain": False,
    }
    assert optimizers.decay_mask({"layer_0": {"state_bias": jnp.ones((3, 4))}}) == {"layer_0": {"state_bias": False}}
    stacked = {"blocks": {"gain": jnp.ones((4, 3)), "table": jnp.ones((4, 3, 2))}}
    assert optimizers.decay_mask(stacked) == {"blocks": {"gain": False, "table": True}}


@pytest.mark.parametrize(
    ("name", "decayed"), [("gpt", "embedding kernel positions"), ("diffusion-dit", "embedding kernel")]
)
def test_decay_of_a_whole_network(name, decayed):
    (params,) = engine(name).abstract_state.params.values()
    mask = jax.tree_util.tree_leaves_with_path(optimizers.decay_mask(params))
    assert {path[-1].key for path, decays in mask if decays} == set(decayed.split())


def steps_of(transformation, count=3):
    """The parameters after steps with learning rate 0.1."""
    params, state = PARAMS, transformation.init(PARAMS)
    for _ in range(count):
        updates, state = transformation.update(GRADS, state, params)
        params = jax.tree.map(lambda p, u: p - 0.1 * u, params, updates)
    return params


@pytest.mark.parametrize(
    ("fields", "peer"),
    [
        ({"name": "adam"}, optax.adam(0.1)),
        ({"name": "adamw", "weight_decay": 0.3}, optax.adamw(0.1, weight_decay=0.3, mask=optimizers.decay_mask)),
        ({"name": "sgd", "momentum": 0.9}, optax.sgd(0.1, momentum=0.9)),
        ({"name": "rmsprop"}, optax.rmsprop(0.1, decay=0.99, eps_in_sqrt=False)),
        ({"name": "sgd", "clip_norm": 0.5}, optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1))),
    ],
    ids=["adam", "adamw", "sgd", "rmsprop", "clipped"],
)
def test_updates_are_those_of_optax(fields, peer):
    ours = steps_of(optimizers.transform(EntryOptim(**fields)))
    descent = optax.chain(peer, optax.scale(-10.0))  # its updates are -0.1 times ours
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, steps_of(descent))


def test_clipping_scales_the_whole_gradient_down_but_never_up():
    norm = float(optax.tree.norm(GRADS))
    for clip in (norm / 4, norm * 4):
        direction = optimizers.transform(EntryOptim(name="sgd", clip_norm=clip))
        clipped, _ = direction.update(GRADS, direction.init(PARAMS), PARAMS)
        scale = min(1, clip / norm)
        jax.tree.map(lambda a, b, s=scale: np.testing.assert_allclose(a, s * b, rtol=1e-5), clipped, GRADS)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_only_adamw_decays(name):
    with pytest.raises(UsageError, match=f"AdamW's decoupled decay, not one of {name}: set --optim.name adamw"):
        optimizers.transform(Optim(name=name, weight_decay=0.1))
    optimizers.transform(Optim(name=name))


def test_an_entry_has_its_own_settings():
    optim = Optim(entries={"generator": EntryOptim(name="sgd")})
    assert optimizers.of_entry(optim, "generator").name == "sgd"
    assert optimizers.of_entry(optim, "discriminator") is optim


@pytest.mark.peers
@pytest.mark.parametrize("scale", [1.0, 1e-5])
@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_steps_are_those_of_torch_with_its_defaults_for_large_and_for_tiny_gradients(name, scale):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.zeros(5))
    theirs = {"rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}[name]([weight], lr=0.05)
    ours, params = optimizers.transform(EntryOptim(name=name)), {"w": jnp.zeros(5)}
    state = ours.init(params)
    for step in range(10):
        grads = scale * np.cos(np.arange(5.0) + step).astype(np.float32)
        weight.grad = torch.from_numpy(grads)
        theirs.step()
        direction, state = ours.update({"w": grads}, state, params)
        params = jax.tree.map(lambda p, d: p - 0.05 * d, params, direction)
    np.testing.assert_allclose(params["w"], weight.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_adam_is_corrected_where_a_lazy_turn_trains_the_entry_too():
    turns = (Turn("d", ("d",)), Turn("r1", ("d",), every=16), Turn("g", ("g",), every=5))
    optim, share = optimizers.lazily(EntryOptim(b1=0.0, b2=0.99), turns, "d")
    assert share == pytest.approx(16 / 17)
    assert (optim.b1, optim.b2) == (0.0, pytest.approx(0.99 ** (16 / 17)))  # StyleGAN2's published setting
    for other in (optimizers.lazily(EntryOptim(), turns, "g"), optimizers.lazily(EntryOptim(name="sgd"), turns, "d")):
        assert other[1] == 1.0


def test_muon_turns_matrices_and_leaves_the_rest_to_adam():
    """Every block's matrix gets an update with about equal singular values, of the size that Adam's would have."""
    draw = np.random.default_rng(0)
    shapes = {
        "blocks": {"attention": {"qkv": {"kernel": (3, 8, 2, 3, 4)}, "out": {"kernel": (3, 2, 4, 8)}}},
        "head": {"kernel": (8, 24)},
        "embedding": (24, 8),
        "bias": (8,),
    }
    grads = jax.tree.map(
        lambda shape: draw.normal(size=shape).astype("f"), shapes, is_leaf=lambda x: isinstance(x, tuple)
    )
    transforms = (optimizers.transform(EntryOptim(name=name)) for name in ("muon", "adam"))
    found, other = (jax.jit(t.update)(grads, t.init(grads), grads)[0] for t in transforms)
    for name, (rows, columns) in {"qkv": (8, 24), "out": (8, 8)}.items():
        ours, given = (tree["blocks"]["attention"][name]["kernel"] for tree in (found, grads))
        for block, gradient in zip(ours, given):
            values = np.linalg.svd(block.reshape(rows, columns), compute_uv=False) / (0.2 * max(rows, columns) ** 0.5)
            assert values.min() > 0.5 and values.max() < 1.3
            assert np.vdot(block, gradient) > 0
    for name in ("head", "embedding", "bias"):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), found[name], other[name])
