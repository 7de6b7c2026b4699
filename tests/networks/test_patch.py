"""The PatchGAN discriminator: its patch, its features, and PyTorch's layers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.networks import PatchGAN

KEY = jax.random.key(0)


def build(config, shape):
    module = config.discriminator()
    return module, jax.jit(lambda key: module.init(key, jnp.zeros(shape), train=False))(KEY)


@pytest.mark.parametrize(("layers", "side", "patch"), [(1, 32, 16), (3, 144, 70)])
def test_a_logit_sees_the_papers_patch(layers, side, patch):
    module, variables = build(PatchGAN(width=2, layers=layers, norm="none"), (1, side, side, 1))
    x = jax.random.normal(KEY, (1, side, side, 1))
    middle = (side // 2**layers - 2) // 2
    seen = jax.jit(jax.grad(lambda x: module.apply(variables, x, train=True)[0, middle, middle]))(x)[0, :, :, 0] != 0
    assert seen.any(0).sum() == seen.any(1).sum() == patch


def test_features_are_the_activations_of_all_layers_but_the_last():
    module, variables = build(PatchGAN(width=4), (2, 32, 48, 3))
    x = jax.random.normal(KEY, (2, 32, 48, 3))
    logits, features = module.apply(variables, x, train=True, features=True)
    np.testing.assert_array_equal(module.apply(variables, x, train=True), logits)
    assert logits.shape == (2, 2, 4) and logits.dtype == jnp.float32
    assert [f.shape[1:] for f in features] == [(16, 24, 4), (8, 12, 8), (4, 6, 16), (3, 5, 32)]


def test_batch_norm_keeps_statistics_and_bfloat16_ends_in_float32():
    module, variables = build(PatchGAN(width=4, norm="batch"), (2, 32, 32, 1))
    assert set(variables["batch_stats"]) == {"norm_1", "norm_2", "norm_3"}
    module = PatchGAN(width=4).discriminator("bfloat16")
    logits, features = module.apply(variables, jnp.ones((1, 32, 32, 1)), train=False, features=True)
    assert logits.dtype == jnp.float32 and features[-1].dtype == jnp.bfloat16


def test_sizes_that_build_nothing_are_refused():
    for wrong in (dict(width=0), dict(layers=0)):
        with pytest.raises(UsageError, match="must be positive"):
            PatchGAN(**wrong)


@pytest.mark.peers
def test_numbers_are_those_of_torchs_layers():
    """The layers as pix2pix's and CycleGAN's code has them: `NLayerDiscriminator` with three layers."""
    torch = pytest.importorskip("torch")
    nn, random = torch.nn, np.random.default_rng(0)
    layers, widths = [], (3, 8, 16, 32, 64)
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Conv2d(inputs, outputs, 4, stride=2 if i < 3 else 1, padding=1))
        layers += ([nn.InstanceNorm2d(outputs)] if i else []) + [nn.LeakyReLU(0.2)]
    peer = nn.Sequential(*layers, nn.Conv2d(64, 1, 4, stride=1, padding=1))
    module, variables = build(PatchGAN(width=8), (1, 64, 64, 3))
    params = jax.tree.map(lambda p: random.normal(0, 0.2, p.shape).astype(np.float32), variables["params"])
    convs = [layer for layer in peer if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for i, conv in enumerate(convs):
            ours = params["logits" if i == 4 else f"conv_{i}"]
            ours = ours.get("Conv_0", ours)  # of a Downsample
            kernel = ours["kernel"]
            if kernel.shape[0] == 2:  # (2, 2, the four pixels of a square and the channels) -> (4, 4, channels)
                kernel = kernel.reshape(2, 2, 2, 2, -1, kernel.shape[-1]).transpose(0, 2, 1, 3, 4, 5)
                kernel = kernel.reshape(4, 4, *kernel.shape[-2:])
            conv.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            if "bias" in ours:  # a bias before instance norm has no effect: the random one may stay
                conv.bias.copy_(torch.from_numpy(ours["bias"]))
        assert [("bias" in params[f"conv_{i}"].get("Conv_0", params[f"conv_{i}"])) for i in range(4)] == [True] + 3 * [
            False
        ]
        x = random.normal(size=(2, 64, 64, 3)).astype(np.float32)
        theirs = peer(torch.from_numpy(x).permute(0, 3, 1, 2))[:, 0].numpy()
    ours = module.apply({"params": params}, x, train=True)
    assert ours.shape == theirs.shape == (2, 6, 6)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
