"""CycleGAN's generator: sizes, range, and PyTorch's layers on the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.networks.resnet import ResNet, reflected


def init(config, shape=(2, 12, 12, 3)):
    x = jax.random.uniform(jax.random.key(0), shape, minval=-1)
    network = config.translator(shape[-1])
    return network, network.init(jax.random.key(1), x, train=False), x


@pytest.mark.parametrize("side", [8, 9, 14])
def test_a_picture_keeps_its_size(side):
    network, variables, x = init(ResNet(4, 2, 1), (2, side, side, 1))
    y = network.apply(variables, x, train=False)
    assert y.shape == x.shape and y.dtype == jnp.float32 and jnp.abs(y).max() <= 1


def test_the_papers_size():
    """11.4 million parameters with nine blocks.

    Depth-to-space has four times as many kernels as a transposed convolution has parities of a 3x3 one; the authors'
    convolutions have biases before their norms too.
    """
    shapes = jax.eval_shape(lambda: init(ResNet(), (1, 256, 256, 3))[1])
    total = sum(x.size for x in jax.tree.leaves(shapes))
    transposed = 9 * (256 * 128 + 128 * 64)
    published = 11_378_179  # of the authors' code with instance norm
    biases = 64 + 128 + 256 + 18 * 256 + 128 + 64
    assert total - 3 * transposed + biases == published


def test_borders_are_mirrored_as_far_as_a_picture_reaches():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(reflected(x, 2)[0, :, :, 0], np.pad(np.arange(9.0).reshape(3, 3), 2, mode="reflect"))
    assert reflected(x, 3).shape == (1, 9, 9, 1) and not reflected(x, 3)[0, 0].any()


@pytest.mark.peers
def test_torchs_layers_give_the_same_picture():
    torch = pytest.importorskip("torch")
    network, variables, x = init(ResNet(4, 2, 2))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda p: random.normal(0, 0.3, p.shape).astype(np.float32), variables["params"])
    layers = torch.nn.functional

    def conv(x, name, side, stride=1, module=params):
        p = module[name]
        w = torch.from_numpy(np.array(p["kernel"].transpose(3, 2, 0, 1)))
        b = torch.from_numpy(np.array(p["bias"])) if "bias" in p else None
        x = layers.pad(x, (side // 2,) * 4, mode="reflect") if stride == 1 else x
        return layers.conv2d(x, w, b, stride, padding=0 if stride == 1 else 1)

    def up(x, name):
        p = params[name]["Conv_0"]
        w = torch.from_numpy(np.array(p["kernel"].transpose(3, 2, 0, 1)))
        y = layers.conv2d(x, w, padding=1)  # channels are (row, column, feature); torch has (feature, row, column)
        n, c, h, v = y.shape
        y = y.reshape(n, 4, c // 4, h, v).swapaxes(1, 2).reshape(n, c, h, v)
        return layers.pixel_shuffle(y, 2)

    def end(x):
        return layers.relu(layers.instance_norm(x))

    y = end(conv(torch.from_numpy(np.array(x).transpose(0, 3, 1, 2)), "first", 7))
    for i in range(2):
        y = end(conv(y, f"down_{i}", 3, 2))
    for i in range(2):
        y = y + layers.instance_norm(conv(end(conv(y, f"block_{i}_in", 3)), f"block_{i}_out", 3))
    for i in (1, 0):
        y = end(up(y, f"up_{i}"))
    theirs = torch.tanh(conv(y, "last", 7)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(network.apply({"params": params}, x, train=False), theirs, atol=1e-4)
