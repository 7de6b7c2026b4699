"""CycleGAN: its losses are PyTorch's, its pool is that of the paper, and what it cannot take is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import batch, engine

from genjax.errors import UsageError, UserError
from genjax.models import CycleGAN, PatchGAN, ResNet
from genjax.models.gan.cyclegan import CycleGANOptions
from genjax.spec import DataSpec, Image

KEY = jax.random.key(0)


def images(a=(16, 16, 1), b=(16, 16, 1)):
    return DataSpec({"image_a": Image(*a), "image_b": Image(*b)})


def test_the_pool_is_a_list_that_gives_and_takes():
    """Against a list that is filled and changed picture by picture, as the authors keep it."""
    model = CycleGAN(pool=3).resolve(images((32, 32, 1), (32, 32, 1)))
    state = {"pool": {"count": jnp.zeros((), jnp.int32), **{x: jnp.zeros((3, 1, 1, 1)) for x in "ab"}}}
    pools = {x: [] for x in "ab"}
    for step in range(6):
        fake = {x: jnp.asarray(10.0 * step + np.arange(2) + (x == "b") / 2).reshape(2, 1, 1, 1) for x in "ab"}
        shown, rows = model._from_pool(state, fake, jax.random.key(step), jnp.arange(2))
        before = {x: list(pool) for x, pool in pools.items()}
        for i in range(2):
            for x in "ab":
                mine, place = float(fake[x][i, 0, 0, 0]), int(rows["place"][i])
                wanted = before[x][place] if rows["swapped"][i] else mine
                assert shown[x][i, 0, 0, 0] == wanted
                if len(pools[x]) < 3:
                    pools[x].append(mine)
                elif rows["swapped"][i]:
                    pools[x][place] = mine
        assert not (np.asarray(rows["swapped"]).any() and len(before["a"]) < 3)
        _, state = model.update("discriminators", {}, state, {}, rows, step=step)
        for x in "ab":
            np.testing.assert_array_equal(state["pool"][x][: len(pools[x]), 0, 0, 0], pools[x])
    many = {x: jnp.zeros((400, 1, 1, 1)) for x in "ab"}
    assert 0.4 < model._from_pool(state, many, KEY, jnp.arange(400))[1]["swapped"].mean() < 0.6


def test_domains_that_cannot_be_turned_are_refused_in_one_line():
    with pytest.raises(UsageError, match=r"domains of one size, not \(16, 16, 1\) and \(8, 8, 1\): --data.image-size"):
        CycleGAN().resolve(images(b=(8, 8, 1)))
    with pytest.raises(UsageError, match=r"3 layers needs pictures of more than 16 pixels a side, not 16 x 16: take"):
        CycleGAN().resolve(images())
    assert CycleGAN(discriminator=PatchGAN(layers=2)).resolve(images()).shape == (16, 16, 1)
    with pytest.raises(UserError, match="needs the field `image_a`"):
        CycleGAN().resolve(DataSpec({"image": Image(32, 32, 3)}))
    with pytest.raises(UserError, match=r"model.shape is \(256, 256, 3\), but the data has \(32, 32, 1\)"):
        CycleGAN(shape=(256, 256, 3)).resolve(images((32, 32, 1), (32, 32, 1)))
    with pytest.raises(UsageError, match="--path: pictures of their own sizes are made one by one"):
        CycleGANOptions(path="x").conditions(CycleGAN(), None, 1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_least_size_of_a_patch_leaves_a_logit(layers):
    side = 2 ** (layers + 1) + 1
    PatchGAN(2, layers).check(side, side, "x")
    module = PatchGAN(2, layers).discriminator()
    logits = jax.eval_shape(lambda: module.init_with_output(KEY, jnp.zeros((1, side, side, 1)), train=False)[0])
    assert logits.shape == (1, 1, 1)
    with pytest.raises(UsageError, match="more than"):
        PatchGAN(2, layers).check(side, side - 1, "x")


def test_a_recipe_that_knows_its_shape_needs_no_data_for_a_plan():
    model = CycleGAN(generator=ResNet(4, 1, 1), shape=(64, 64, 3))
    assert model.resolve(DataSpec(model.expects())) == model


@pytest.mark.peers
def test_losses_are_those_of_torch():
    """As the authors' code has them, on what our networks give."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    built = engine("cyclegan")
    model, state, data = built.model, jax.device_get(built.init()), batch("cyclegan")
    networks = model.networks()

    def call(entry, x):
        return np.asarray(networks[entry].apply({"params": state.params[entry]}, x, train=True))

    def mse(x, target):
        x = torch.from_numpy(x.copy())
        return functional.mse_loss(x, torch.full_like(x, target)).item()

    def l1(x, y):
        return functional.l1_loss(torch.from_numpy(x.copy()), torch.from_numpy(y.copy())).item()

    def loss(turn):
        return model.loss(turn, state.params, state.model_state, data, KEY, step=0, train=True).loss

    a, b = data["image_a"], data["image_b"]
    fake_b, fake_a = call("to_b", a), call("to_a", b)
    generators = mse(call("judge_a", fake_a), 1.0) + mse(call("judge_b", fake_b), 1.0)
    generators += 10.0 * (l1(call("to_a", fake_b), a) + l1(call("to_b", fake_a), b))
    generators += 5.0 * (l1(call("to_a", a), a) + l1(call("to_b", b), b))
    judges = sum(
        0.5 * (mse(call(f"judge_{x}", real), 1.0) + mse(call(f"judge_{x}", fake), 0.0))
        for x, real, fake in (("a", a, fake_a), ("b", b, fake_b))
    )
    np.testing.assert_allclose(loss("generators"), generators, rtol=1e-5)
    np.testing.assert_allclose(loss("discriminators"), judges, rtol=1e-5)
