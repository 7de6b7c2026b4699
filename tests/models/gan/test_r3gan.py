"""R3GAN: its loss and penalties by hand, its start, and its networks against PyTorch's layers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import batch, engine

from genjax.errors import UsageError
from genjax.models import ADA, DCGAN, R3GAN, R3GANConfig
from genjax.networks.r3gan import Linear

KEY = jax.random.key(3)


@functools.cache
def built():
    run = engine("r3gan")
    return dataclasses.replace(run.model, augment=None, gamma=2.0), run.init()


def logits(image):
    model, made = built()
    return model._judge(made.params, image, jnp.asarray(batch("r3gan")["label"]))


def fakes():
    model, made = built()
    data = batch("r3gan")
    return model._generate(made.params, model._latent(KEY, jnp.asarray(data["index"])), jnp.asarray(data["label"]))


def test_each_players_loss_is_that_of_pairs_with_both_penalties():
    model, made = built()
    data, fake = batch("r3gan"), fakes()
    lead = np.asarray(logits(data["image"]) - logits(fake), np.float64)
    out = {
        turn: model.loss(turn, made.params, {}, data, KEY, step=jnp.int32(0), train=True)
        for turn in ("discriminator", "generator")
    }
    assert float(out["generator"].loss) == pytest.approx(np.log1p(np.exp(lead)).mean(), rel=1e-4)
    terms = {name: float(term.value) for name, term in out["discriminator"].terms.items()}
    assert terms["adversarial"] == pytest.approx(np.log1p(np.exp(-lead)).mean(), rel=1e-4)
    for name, image in {"r1": data["image"], "r2": fake}.items():
        norm2_B = (jax.jit(jax.grad(lambda x: logits(x).sum()))(image) ** 2).sum((1, 2, 3))
        assert terms[name] == pytest.approx(float(norm2_B.mean()), rel=1e-4)  # gamma / 2 = 1


def test_gamma_falls_to_a_tenth():
    gammas = [float(R3GAN(gamma=2.0, gamma_steps=10)._gamma(jnp.int32(step))) for step in (0, 5, 10, 99)]
    np.testing.assert_allclose(gammas, [2.0, 1.1, 0.2, 0.2], rtol=1e-5)


def test_blocks_are_the_identity_at_first():
    """Fix-up: the last layer of a block is 0, so that the image is a sum of resampled and projected bases."""
    _, made = built()
    stages = {name: tree for name, tree in made.params["generator"].items() if name.startswith("stage")}
    assert stages and all((tree["out_0"]["kernel"] == 0).all() for tree in stages.values())


def test_the_papers_networks_have_the_papers_sizes():
    """Section 5 of the paper and its appendix: 64 latents, four stages of two blocks for 32 x 32 pixels."""
    config = R3GANConfig()
    generator = config.generator((32, 32, 3))
    shapes = jax.eval_shape(functools.partial(generator.init, train=False), KEY, jnp.zeros((1, 64)))["params"]
    width, inner, groups = 768, 1536, 96
    block = 2 * width * inner + 9 * inner * inner // groups + 2 * inner
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 8 * block + 16 * width + 64 * width + 3 * width


@pytest.mark.peers
def test_a_grouped_convolution_is_pytorchs():
    torch = pytest.importorskip("torch")
    layer, x = Linear(8, 3, groups=4), jax.random.normal(KEY, (2, 5, 5, 12))
    params = layer.init(KEY, x)
    kernel = torch.tensor(np.asarray(params["params"]["kernel"])).permute(3, 2, 0, 1)
    expected = torch.nn.functional.conv2d(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2), kernel, padding=1, groups=4)
    np.testing.assert_allclose(layer.apply(params, x), expected.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: R3GAN(network=DCGAN()), "batch norm"),
        (lambda: R3GAN(gamma=-1.0), "not negative"),
        (lambda: R3GAN(augment=ADA()), "a difference of two has none"),
        (lambda: R3GANConfig(widths=(8,), groups=(3,)), "3 groups do not divide 16 channels"),
        (lambda: R3GANConfig(widths=(8, 8), groups=(2,)), "one for each stage"),
        (lambda: R3GANConfig().generator((30, 30, 3)), "multiple of 8 pixels, not of 30"),
    ],
)
def test_impossible_settings_are_refused(make, words):
    with pytest.raises(UsageError, match=words):
        make()
