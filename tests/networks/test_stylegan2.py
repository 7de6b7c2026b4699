"""StyleGAN2's networks: their sizes, what they refuse, and the paper's equations written once more in PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.networks import StyleGAN2Config
from genjax.networks.stylegan2_discriminator import with_deviation
from genjax.nn.equalized import EqualDense, ModulatedConv

KEY = jax.random.key(0)


def parameters(config, shape, classes=0):
    networks, label = config.networks(shape, classes, None), jnp.zeros((1,), jnp.int32) if classes else None
    inputs = {
        "mapping": (jnp.zeros((1, config.latent)), label),
        "synthesis": (jnp.zeros((1, config.styles(shape[0]), config.style)),),
        "discriminator": (jnp.zeros((1, *shape)), label),
    }
    shapes = {name: jax.eval_shape(networks[name].init, KEY, *given)["params"] for name, given in inputs.items()}
    return {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in shapes.items()}


def test_the_papers_generator_and_discriminator_have_their_published_sizes():
    found = parameters(StyleGAN2Config(), (1024, 1024, 3))
    # as the summaries in NVIDIA's logs count them, for 1024 x 1024 pixels
    assert found["mapping"] + found["synthesis"] == 30_370_060
    assert found["discriminator"] == 29_012_513


@pytest.mark.parametrize(("side", "sides"), [(8, (4, 8)), (28, (7, 14, 28)), (48, (6, 12, 24, 48))])
def test_any_side_that_halves_to_a_small_grid_goes(side, sides):
    assert StyleGAN2Config().resolutions(side) == sides


@pytest.mark.parametrize(("shape", "words"), [((33, 33, 3), "image-size 32"), ((32, 16, 3), "squares")])
def test_other_images_are_refused(shape, words):
    with pytest.raises(UsageError, match=words):
        StyleGAN2Config().networks(shape, 0, None)


def test_demodulated_kernels_have_norm_1():
    """Independent noise of variance 1 comes out with variance 1, whatever the style (section 2.2)."""
    conv, x = ModulatedConv(32), jax.random.normal(KEY, (4, 24, 24, 16))
    w = 3 * jax.random.normal(KEY, (4, 8))
    out = conv.apply(conv.init(KEY, x, w), x, w)
    np.testing.assert_allclose(out[:, 1:-1, 1:-1].var((1, 2)).mean(-1), 1, rtol=0.1)


def test_a_dense_layers_rate_changes_its_start_by_nothing():
    x = jax.random.normal(KEY, (4, 64))
    slow, fast = EqualDense(32, rate=0.01), EqualDense(32)
    np.testing.assert_allclose(slow.apply(slow.init(KEY, x), x), fast.apply(fast.init(KEY, x), x), rtol=1e-4)


def test_the_deviation_is_that_of_neighbours():
    x = jax.random.normal(KEY, (6, 2, 2, 3))
    out = with_deviation(x, 3)
    assert out.shape == (6, 2, 2, 4)
    expected = [np.asarray(x[i : i + 3]).std(0).mean() for i in (0, 3)]
    np.testing.assert_allclose(out[:, 0, 0, 3], np.repeat(expected, 3), rtol=1e-5)
    np.testing.assert_allclose(with_deviation(x[:5], 3)[..., 3], 1e-4, rtol=1e-5)  # no group of three fits


@pytest.mark.peers
@pytest.mark.parametrize("up", [False, True])
def test_a_modulated_convolution_is_one_kernel_an_example(up):
    """Equations 1 and 3 as they are written: scaled and demodulated kernels, one for each example."""
    torch = pytest.importorskip("torch")
    conv, x = ModulatedConv(5, up=up), jax.random.normal(KEY, (3, 6, 6, 4))
    w = jax.random.normal(jax.random.key(1), (3, 8))
    params = conv.init(jax.random.key(2), x, w)
    tree = {name: torch.tensor(np.asarray(value)) for name, value in params["params"]["affine"].items()}
    style = torch.tensor(np.asarray(w)) @ tree["kernel"] / 8**0.5 + tree["bias"]
    kernel = torch.tensor(np.asarray(params["params"]["kernel"])).permute(3, 2, 0, 1)
    rows = []
    for image, scale in zip(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2), style):
        own = kernel * scale[None, :, None, None]
        own = own / torch.sqrt((own**2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            row = torch.nn.functional.conv_transpose2d(image[None], own.transpose(0, 1), stride=2)
            line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
            row = torch.nn.functional.conv2d(row, torch.outer(line, line).expand(5, 1, 4, 4), padding=1, groups=5)
        else:
            row = torch.nn.functional.conv2d(image[None], own, padding=1)
        rows.append(row[0].permute(1, 2, 0))
    np.testing.assert_allclose(conv.apply(params, x, w), torch.stack(rows), rtol=1e-4, atol=1e-5)
