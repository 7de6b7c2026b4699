"""pix2pix: its losses are PyTorch's, its noise is dropout, and what it cannot take is told."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import batch, engine

from genjax.errors import UsageError, UserError
from genjax.models import PatchGAN, Pix2Pix, PixUNet, ResNet
from genjax.models.gan.pix2pix import Pix2PixOptions
from genjax.spec import DataSpec, Image

KEY = jax.random.key(0)


def images(a=(16, 16, 1), b=(16, 16, 3)):
    return DataSpec({"image_a": Image(*a), "image_b": Image(*b)})


def test_pairs_that_cannot_be_learned_are_refused_in_one_line():
    with pytest.raises(UsageError, match=r"pairs of one size, not \(16, 16, 1\) and \(8, 8, 1\): --data.image-size"):
        Pix2Pix().resolve(images(b=(8, 8, 1)))
    with pytest.raises(UsageError, match="more than 16 pixels a side, not 16 x 16: take fewer"):
        Pix2Pix().resolve(images())
    with pytest.raises(UserError, match="needs the field `image_a`"):
        Pix2Pix().resolve(DataSpec({"image": Image(32, 32, 3)}))
    with pytest.raises(UsageError, match="--direction BtoA: this model was trained AtoB"):
        Pix2Pix().check(Pix2PixOptions(direction="BtoA"))
    with pytest.raises(UsageError, match="l1 is -1"):
        Pix2Pix(l1=-1)


@pytest.mark.parametrize("generator", [PixUNet(2, 2), ResNet(2, 1, 1, dropout=0.5)])
def test_grey_becomes_colour_in_both_directions_with_noise_of_the_seed(generator):
    for direction, read, made in (("AtoB", "image_a", (16, 16, 3)), ("BtoA", "image_b", (16, 16, 1))):
        model = Pix2Pix(generator=generator, discriminator=PatchGAN(2, 1), direction=direction).resolve(images())
        params, state = jax.jit(lambda key, model=model: model.init(key, images()))(KEY)
        options = model.check(Pix2PixOptions())
        assert model.needs(options)[0] == read and model.resolve(DataSpec(model.expects())) == model
        given = {"index": jnp.arange(2), read: jnp.ones((2, *model.source))}
        (one,), (other,) = (model.sample(params, state, jax.random.key(n), given, options).values() for n in (0, 1))
        assert one.shape == (2, *made) and not np.array_equal(one, other) and not np.array_equal(one[0], one[1])
        still = dataclasses.replace(model, generator=dataclasses.replace(generator, dropout=0.0))
        (one,), (other,) = (still.sample(params, state, jax.random.key(n), given, options).values() for n in (0, 1))
        np.testing.assert_array_equal(one, other)


@pytest.mark.peers
@pytest.mark.parametrize("objective", ["non-saturating", "least-squares"])
def test_losses_are_those_of_torch(objective):
    """As the authors' code has them, on what our networks give; our least squares have Mao et al.'s factor 1/2."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    built = engine("pix2pix")
    model = dataclasses.replace(built.model, objective=objective)
    state, data = jax.device_get(built.init()), batch("pix2pix")
    networks, x, y = model.networks(), data["image_a"], data["image_b"]
    made, _ = model.generate(state.params, state.model_state, x, data["index"], KEY, train=True)

    def judged(picture, target):
        pair = np.concatenate([x, picture], axis=-1)
        logits = networks["discriminator"].apply({"params": state.params["discriminator"]}, pair, train=True)
        logits = torch.from_numpy(np.array(logits))
        wanted = torch.full_like(logits, target)
        if objective == "least-squares":
            return 0.5 * functional.mse_loss(logits, wanted).item()
        return functional.binary_cross_entropy_with_logits(logits, wanted).item()

    def loss(turn):
        return model.loss(turn, state.params, state.model_state, data, KEY, step=0, train=True).loss

    l1 = functional.l1_loss(torch.from_numpy(np.array(made)), torch.from_numpy(y)).item()
    np.testing.assert_allclose(loss("generator"), judged(made, 1.0) + 100.0 * l1, rtol=1e-5)
    np.testing.assert_allclose(loss("discriminator"), 0.5 * (judged(y, 1.0) + judged(made, 0.0)), rtol=1e-5)
