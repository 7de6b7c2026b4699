"""Attention against its definition in numpy; splash against XLA, emulated and compiled for a TPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from genjax.nn.attention import attention, choose


def make(batch=2, t=256, heads=4, kv_heads=2, size=32):
    keys = jax.random.split(jax.random.key(0), 4)
    q = jax.random.normal(keys[0], (batch, t, heads, size))
    k, v = (jax.random.normal(key, (batch, t, kv_heads, size)) for key in keys[1:3])
    return q, k, v, jax.random.normal(keys[3], q.shape)


def value_and_gradients(implementation, causal, q, k, v, w):
    def value(q, k, v):
        y = attention(q, k, v, causal=causal, implementation=implementation, interpret=True)
        return (y * w).sum() / w.size, y

    (_, y), gradients = jax.jit(jax.value_and_grad(value, (0, 1, 2), has_aux=True))(q, k, v)
    return y, gradients


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("masking", ["none", "causal", "explicit"])
def test_definition(kv_heads, masking):
    q, k, v, _ = make(t=6, kv_heads=kv_heads, size=8)
    mask = np.tril(np.ones((6, 6), bool)) if masking != "none" else np.ones((6, 6), bool)
    explicit = mask[None] if masking == "explicit" else None
    y = attention(q, k, v, causal=masking == "causal", mask_BTS=explicit)
    k, v = (np.repeat(x, 4 // kv_heads, axis=2) for x in (k, v))
    scores = np.where(mask, np.einsum("bthc,bshc->bhts", q, k) / np.sqrt(8), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(y, np.einsum("bhts,bshc->bthc", weights, v), atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_splash_equals_xla(causal):
    arrays = make()
    ours, theirs = (value_and_gradients(name, causal, *arrays) for name in ("splash", "xla"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), ours, theirs)


def test_splash_is_split_over_the_mesh():
    if jax.device_count() < 4:
        pytest.skip("needs 4 devices: XLA_FLAGS=--xla_force_host_platform_device_count=4")
    arrays = make(t=128)
    expected = value_and_gradients("xla", True, *arrays)
    mesh = jax.make_mesh(
        (2, 1, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:4]
    )
    with jax.set_mesh(mesh):
        result = value_and_gradients("splash", True, *arrays)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), result, expected)
    assert result[0].sharding.shard_shape(result[0].shape) == (1, 128, 2, 32)


def test_splash_leaves_other_lengths_to_xla():
    q, k, v, _ = make(t=100)
    text = str(jax.make_jaxpr(lambda *x: attention(*x, causal=True, implementation="splash"))(q, k, v))
    assert "pallas_call" not in text
    q, k, v, _ = make(t=128)
    text = str(jax.make_jaxpr(lambda *x: attention(*x, causal=True, implementation="splash"))(q, k, v))
    assert "pallas_call" in text


def test_choice_follows_platform_and_dtype():
    assert choose("auto", "cpu", None) == "xla"
    assert choose("auto", "gpu", None) == "xla"  # float32
    assert choose("auto", "gpu", "bfloat16") == "cudnn"
    assert choose("auto", "tpu", None) == "splash"
    assert choose("xla", "tpu", None) == "xla"


@pytest.mark.tpu_aot
@pytest.mark.parametrize("size", [64, 128])
def test_splash_compiles_for_tpu(size):
    pytest.importorskip("libtpu")
    from jax.experimental import topologies

    devices = topologies.get_topology_desc("v5e:2x4", platform="tpu").devices
    mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=devices)
    split = NamedSharding(mesh, PartitionSpec(("data", "fsdp"), None, "tensor", None))
    q, k, v = (jax.ShapeDtypeStruct((8, 384, h, size), jnp.bfloat16, sharding=split) for h in (4, 2, 2))

    def value(q, k, v):
        return attention(q, k, v, causal=True, implementation="splash").astype(jnp.float32).sum()

    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(value, (0, 1, 2))).lower(q, k, v).compile().as_text()
    assert "tpu_custom_call" in text
    assert "all-gather" not in text  # each device attends within its own rows and heads


@pytest.mark.gpu
def test_cudnn_equals_xla():
    if jax.default_backend() != "gpu":
        pytest.skip("needs a GPU")
    q, k, v, _ = (x.astype(jnp.bfloat16) for x in make(size=64))
    ours, theirs = (attention(q, k, v, causal=True, implementation=name) for name in ("cudnn", "xla"))
    np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), atol=2e-2)
