"""Normalizations against Flax's."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.nn.norm import GroupNorm, Norm


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("fast", [True, False])
def test_group_norm_is_flaxs(fast, dtype):
    x = 2 * jax.random.normal(jax.random.key(0), (3, 5, 6, 12), dtype or "float32") + 1
    ours, flaxs = GroupNorm(3, 1e-5, dtype, fast), nn.GroupNorm(3, epsilon=1e-5, dtype=dtype, use_fast_variance=fast)
    params = {"scale": jax.random.normal(jax.random.key(1), (12,)), "bias": jax.random.normal(jax.random.key(2), (12,))}

    def value(module):
        def of(params, x):
            y = module.apply({"params": params}, x)
            return (y.astype("float32") ** 3).sum(), y

        gradients, y = jax.jit(jax.grad(of, (0, 1), has_aux=True))(params, x)
        return jax.tree.map(lambda a: np.asarray(a, np.float32), (y, gradients)), y.dtype

    (a, kind), (b, flaxs_kind) = value(ours), value(flaxs)
    assert kind == flaxs_kind
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=(1e-2 if dtype else 1e-5) * abs(b).max()), a, b
    )
    same = [jax.tree.map(jax.numpy.shape, m.init(jax.random.key(0), x)) for m in (ours, flaxs)]
    assert same[0] == same[1]


def test_the_exact_variance_keeps_digits_far_from_zero():
    x = 1e-2 * jax.random.normal(jax.random.key(0), (2, 8, 8, 4)) + 100

    def deviation(fast: bool) -> float:
        return float(np.std(GroupNorm(1, 1e-12, None, fast).init_with_output(jax.random.key(1), x)[0]))

    assert abs(deviation(fast=False) - 1) < 1e-3 < abs(deviation(fast=True) - 1)


def test_instance_norm_is_that_of_each_channel_of_each_example():
    x = 3 * jax.random.normal(jax.random.key(0), (2, 4, 5, 3)) + 100
    y, variables = Norm("instance").init_with_output(jax.random.key(1), x, train=True)
    assert variables == {}
    exact = np.asarray(x, np.float64)
    mean, variance = exact.mean((1, 2), keepdims=True), exact.var((1, 2), keepdims=True)
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(variance + 1e-5), atol=1e-4)
    np.testing.assert_array_equal(Norm("instance").apply({}, x, train=False), y)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 1, 3)])
def test_instance_norm_of_a_single_position_is_refused(shape):
    with pytest.raises(UsageError, match="instance norm needs several positions"):
        Norm("instance").init(jax.random.key(0), np.zeros(shape, np.float32), train=True)


@pytest.mark.peers
def test_instance_norm_is_torchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(1, 2, (2, 4, 5, 3)).astype(np.float32)
    theirs = torch.nn.InstanceNorm2d(3)(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(Norm("instance").apply({}, x, train=True), theirs, atol=1e-5)
