"""Convolutions and changes of resolution."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nn import conv
from genjax.nn.conv import Downsample, EnlargedConv, Upsample, crop_to, depth_to_space
from genjax.nn.residual import enlarge


def test_depth_to_space_puts_four_channels_into_a_square():
    x = jnp.arange(4.0).reshape(1, 1, 1, 4)
    np.testing.assert_array_equal(depth_to_space(x)[0, :, :, 0], [[0, 1], [2, 3]])
    x = jnp.arange(2 * 3 * 5 * 8.0).reshape(2, 3, 5, 8)
    y = depth_to_space(x)
    assert y.shape == (2, 6, 10, 2)
    np.testing.assert_array_equal(y[1, 3, 4], x[1, 1, 2, 4:6])


def test_upsampling_starts_without_a_checkerboard():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    up = Upsample(5)
    y = up.apply(up.init(jax.random.key(1), x), x)
    assert y.shape == (2, 8, 8, 5)
    squares = y.reshape(2, 4, 2, 4, 2, 5)
    np.testing.assert_array_equal(squares, np.broadcast_to(squares[:, :, :1, :, :1], squares.shape))


def test_crop_takes_the_centre():
    x = jnp.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(crop_to(x, 4, 6), x[:, 2:6, 1:7])


def test_downsample_is_the_strided_convolution():
    for h, w in ((8, 8), (7, 5)):
        x = jax.random.normal(jax.random.key(0), (2, h, w, 3))
        params = Downsample(5).init(jax.random.key(0), x)["params"]["Conv_0"]
        kernel = params["kernel"].reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 3, 5)
        pad = [(1, 1 + h % 2), (1, 1 + w % 2)]
        want = nn.Conv(5, (4, 4), 2, padding=pad).apply({"params": {**params, "kernel": kernel}}, x)
        np.testing.assert_allclose(Downsample(5).apply({"params": {"Conv_0": params}}, x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_an_enlarged_convolution_is_that_of_four_times_the_pixels(platform, monkeypatch):
    monkeypatch.setattr(conv, "platform", lambda: platform)
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    layer, plain = EnlargedConv(6), nn.Conv(6, (3, 3))
    params = layer.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, plain.init(jax.random.key(1), enlarge(x)))
    params["params"]["bias"] += jnp.arange(6.0)

    def learned(function):
        return jax.value_and_grad(lambda params, x: jnp.sin(function(params, x)).sum(), (0, 1))(params, x)

    np.testing.assert_allclose(layer.apply(params, x), plain.apply(params, enlarge(x)), atol=1e-5)
    ours, theirs = learned(layer.apply), learned(lambda params, x: plain.apply(params, enlarge(x)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)
