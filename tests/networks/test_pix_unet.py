"""pix2pix's U-Net: sizes, noise, and PyTorch's layers on the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.networks import PixUNet

KEY = jax.random.key(0)


def init(config, shape):
    x = jax.random.uniform(KEY, shape, minval=-1)
    network = config.translator(shape[-1])
    return network, jax.jit(lambda key: network.init(key, x, train=False))(KEY), x


@pytest.mark.parametrize("sides", [(8, 8), (9, 5), (3, 18)])
def test_a_picture_keeps_its_size(sides):
    network, variables, x = init(PixUNet(2, 3), (2, *sides, 1))
    y = network.apply(variables, x, train=False)
    assert y.shape == x.shape and y.dtype == jnp.float32 and jnp.abs(y).max() <= 1


def test_the_papers_size():
    """54.4 million parameters with eight halvings: those of the authors' code but for the scales of its norms."""
    shapes = jax.eval_shape(lambda: init(PixUNet(), (1, 256, 256, 3))[1])
    norms = 2 * (128 + 256 + 512 * 4 + 512 * 4 + 256 + 128 + 64)  # a scale and a bias a channel
    published, biases = 54_414_531, 0  # with batch norm, 3 channels
    assert sum(x.size for x in jax.tree.leaves(shapes)) + norms - biases == published


def test_noise_is_that_of_the_example():
    network, variables, x = init(PixUNet(4, 3), (2, 8, 8, 1))
    x = x[:1].repeat(2, axis=0)

    def call(index, key=0):
        return network.apply(variables, x, jnp.array(index), train=False, rngs={"dropout": jax.random.key(key)})

    first = call([0, 1])
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_allclose(first[::-1], call([1, 0]), atol=1e-6)
    assert not np.array_equal(first, call([0, 1], 1))
    still = network.apply(variables, x, train=False)
    np.testing.assert_allclose(still[0], still[1], atol=1e-6)


def test_sizes_that_build_nothing_are_refused():
    for wrong in (dict(width=0), dict(halvings=1), dict(dropout=1.0)):
        with pytest.raises(UsageError, match="PixUNet"):
            PixUNet(**wrong)


@pytest.mark.peers
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_torchs_layers_give_the_same_picture(norm):
    """Nested as the paper draws it: every level goes down, through the next one, and up beside what went in."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def normed(channels):
        return nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels)

    class Level(nn.Module):
        def __init__(self, outer, inner, inside=None, first=False):
            super().__init__()
            self.first = first
            down, up = nn.Conv2d(outer if not first else 3, inner, 4, 2, 1), None
            up = nn.ConvTranspose2d(inner * (2 if inside else 1), outer if not first else 3, 4, 2, 1)
            self.down, self.up = down, up
            layers = [] if first else [nn.LeakyReLU(0.2)]
            layers += [down] + ([normed(inner)] if inside and not first else [])
            layers += [inside] if inside else []
            layers += [nn.ReLU(), up] + ([nn.Tanh()] if first else [normed(outer)])
            self.layers = nn.Sequential(*layers)

        def forward(self, x):
            y = self.layers(x)
            return y if self.first else torch.cat([x, y], 1)

    network, variables, x = init(PixUNet(4, 4, norm, dropout=0.0), (3, 32, 32, 3))
    random = np.random.default_rng(0)
    variables = dict(variables)
    params = jax.tree.map(lambda p: random.normal(0, 0.2, p.shape).astype(np.float32), variables["params"])
    levels = [Level(16, 32)]
    for outer, inner in ((8, 16), (4, 8), (3, 4)):
        levels.insert(0, Level(outer, inner, levels[0], first=outer == 3))
    with torch.no_grad():
        for i, level in enumerate(levels):
            down = params[f"down_{i}"]["Conv_0"]  # (2, 2, the four pixels of a square and the channels)
            w = down["kernel"].reshape(2, 2, 2, 2, -1, down["kernel"].shape[-1]).transpose(0, 2, 1, 3, 4, 5)
            w = w.reshape(4, 4, *w.shape[-2:])
            level.down.weight.copy_(torch.from_numpy(w.transpose(3, 2, 0, 1).copy()))
            level.down.bias.copy_(torch.from_numpy(down["bias"])) if "bias" in down else level.down.bias.zero_()
            up = params[f"up_{i}"]["kernel"]  # (2, 2, in, four pixels, out): each pixel's own 2x2 kernel
            up = up.reshape(2, 2, up.shape[2], 2, 2, -1)
            w = np.zeros((up.shape[2], up.shape[-1], 4, 4), np.float32)
            for r, c, a, b in np.ndindex(2, 2, 2, 2):  # pixel (a, b) of a window; tap (r, c) of it
                w[:, :, a + 2 - 2 * r, b + 2 - 2 * c] = up[r, c, :, a, b]
            level.up.weight.copy_(torch.from_numpy(w))
            bias = params[f"up_{i}"].get("bias")
            level.up.bias.copy_(torch.from_numpy(bias)) if bias is not None else level.up.bias.zero_()
        if norm == "batch":
            for i, level in enumerate(levels):
                norms = [m for m in level.layers if isinstance(m, nn.BatchNorm2d)]
                names = [n for n in (f"down_{i}_norm", f"up_{i}_norm") if n in params]
                assert len(norms) == len(names)
                for m, n in zip(norms, names):
                    m.weight.copy_(torch.from_numpy(params[n]["batch"]["scale"]))
                    m.bias.copy_(torch.from_numpy(params[n]["batch"]["bias"]))
        theirs = levels[0](torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    ours, _ = network.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
