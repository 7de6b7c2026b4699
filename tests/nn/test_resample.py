"""The filter [1, 3, 3, 1], alone and folded into convolutions, against PyTorch's primitives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nn import resample

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 6, 8, 3)).astype(np.float32)
KERNEL = RANDOM.normal(size=(3, 3, 3, 5)).astype(np.float32)


def test_a_constant_stays_as_it_is_within_the_image():
    constant = jnp.ones((1, 8, 8, 1))
    for out in (resample.upsample(constant), resample.downsample(constant)):
        np.testing.assert_allclose(out[0, 1:-1, 1:-1], 1, rtol=1e-6)


def test_downsample_is_the_transpose_of_upsample():
    y = RANDOM.normal(size=(2, 12, 16, 3)).astype(np.float32)
    np.testing.assert_allclose((resample.upsample(X) * y).sum(), 4 * (X * resample.downsample(y)).sum(), rtol=1e-4)


def test_conv_up_has_the_same_value_and_derivatives_on_every_platform(monkeypatch):
    def penalty(x, kernel):
        """Of first derivatives, as R1 is; so that its gradient takes second ones."""
        return (jax.grad(lambda x: (resample.conv_up(x, kernel) ** 3).sum())(x) ** 2).sum()

    found = {}
    for platform in ("cpu", "tpu"):
        monkeypatch.setattr(resample, "platform", lambda platform=platform: platform)
        found[platform] = (resample.conv_up(X, KERNEL), *jax.grad(penalty, (0, 1))(X / 9, KERNEL / 9))
    for ours, folded in zip(found["cpu"], found["tpu"], strict=True):
        np.testing.assert_allclose(ours, folded, rtol=1e-4, atol=1e-5)


@pytest.mark.peers
def test_the_filter_and_the_convolutions_are_pytorchs():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    x, kernel = torch.tensor(X).permute(0, 3, 1, 2), torch.tensor(KERNEL).permute(3, 2, 0, 1)

    def filtered(x, stride=1):
        channels = x.shape[1]
        taps = torch.outer(line, line).expand(channels, 1, 4, 4)
        return functional.conv2d(x, taps, stride=stride, groups=channels)

    def doubled(x):
        zeros = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        zeros[:, :, ::2, ::2] = x
        return zeros

    def pad(x, before, after):
        return functional.pad(x, (before, after, before, after))

    transposed = functional.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
    expected = {
        "upsample": 4 * filtered(pad(doubled(x), 2, 1)),
        "downsample": filtered(pad(x, 1, 1), 2),
        "conv_up": 4 * filtered(pad(transposed, 1, 1)),
        "conv_down": functional.conv2d(filtered(pad(x, 2, 2)), kernel, stride=2),
    }
    found = {
        "upsample": resample.upsample(X),
        "downsample": resample.downsample(X),
        "conv_up": jax.jit(resample.conv_up)(X, KERNEL),
        "conv_down": jax.jit(resample.conv_down)(X, KERNEL),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
