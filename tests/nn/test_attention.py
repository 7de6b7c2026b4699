"""Attention against its definition in numpy; splash against XLA, emulated and compiled for a TPU; cuDNN's arguments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from genjax.engine.flops import product_flops
from genjax.nn.attention import Mask, attention, choose


def make(batch=2, t=256, heads=4, kv_heads=2, size=32):
    keys = jax.random.split(jax.random.key(0), 4)
    q = jax.random.normal(keys[0], (batch, t, heads, size))
    k, v = (jax.random.normal(key, (batch, t, kv_heads, size)) for key in keys[1:3])
    return q, k, v, jax.random.normal(keys[3], q.shape)


def value_and_gradients(implementation, mask, q, k, v, w):
    def value(q, k, v):
        y = attention(q, k, v, mask, implementation=implementation, interpret=True)
        return (y * w).sum() / w.size, y

    (_, y), gradients = jax.jit(jax.value_and_grad(value, (0, 1, 2), has_aux=True))(q, k, v)
    return y, gradients


LENGTHS = np.array([4, 6])
SEGMENTS = np.array([[1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 1, 1]])
MASKS = {
    "none": Mask(),
    "causal": Mask(causal=True),
    "window": Mask(window=2),
    "lengths": Mask(lengths_B=LENGTHS),
    "packed": Mask(causal=True, window=3, segments_BT=SEGMENTS),
    "decoding": Mask(causal=True, start=2),
}


def seen(mask, b, t, s):
    """Whether a query sees a key, by the words of `Mask`."""
    position = t + (mask.start or 0)
    return (
        (not mask.causal or s <= position)
        and (mask.window is None or abs(s - position) < mask.window)
        and (mask.lengths_B is None or s < mask.lengths_B[b])
        and (mask.segments_BT is None or mask.segments_BT[b][t] == mask.segments_BT[b][s])
    )


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("name", MASKS)
def test_definition(kv_heads, name):
    mask = MASKS[name]
    q, k, v, _ = make(t=6, kv_heads=kv_heads, size=8)
    q = q[:, :4] if name == "decoding" else q
    y = attention(q, k, v, mask)
    dense = np.array([[[seen(mask, b, t, s) for s in range(6)] for t in range(q.shape[1])] for b in range(2)])
    k, v = (np.repeat(x, 4 // kv_heads, axis=2) for x in (k, v))
    scores = np.where(dense[:, None], np.einsum("bthc,bshc->bhts", q, k) / np.sqrt(8), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(y, np.einsum("bhts,bshc->bthc", weights, v), atol=1e-5)


def test_scale_and_bias():
    q, k, v, _ = make(t=5, kv_heads=4, size=8)
    bias = np.random.default_rng(0).standard_normal((1, 4, 5, 5)).astype(np.float32)
    weights = jax.nn.softmax(2 * np.einsum("bthc,bshc->bhts", q, k) + bias)
    ours = attention(q, k, v, bias_BHTS=bias, scale=2.0, implementation="splash")
    np.testing.assert_allclose(ours, np.einsum("bhts,bshc->bthc", weights, v), atol=1e-5)


def test_positions_begin_anew_in_every_segment():
    assert Mask(segments_BT=SEGMENTS).positions(6).tolist() == [[0, 1, 0, 1, 2, 0], [0, 1, 2, 3, 0, 1]]
    assert Mask(start=3).positions(2).tolist() == [3, 4]


LONG = np.sort(np.random.default_rng(0).integers(0, 4, (2, 256)))  # four texts a row
SPLASH_MASKS = {
    "none": Mask(),
    "causal": Mask(causal=True),
    "window": Mask(window=50),
    "causal-window": Mask(causal=True, window=100),
    "lengths": Mask(lengths_B=np.array([130, 7])),
    "packed": Mask(causal=True, segments_BT=LONG),
}


@pytest.mark.parametrize("name", SPLASH_MASKS)
def test_splash_equals_xla(name):
    mask, arrays = SPLASH_MASKS[name], make()
    ours, theirs = (value_and_gradients(kind, mask, *arrays) for kind in ("splash", "xla"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), ours, theirs)


@pytest.mark.parametrize("name", ["causal", "causal-window", "packed"])
def test_blocks_equal_xla_with_fewer_scores(name):
    (*qkv, w), mask = make(kv_heads=4), SPLASH_MASKS[name]
    bias = np.random.default_rng(0).standard_normal((1, 4, 256, 256)).astype(np.float32)

    def attend(kind):
        return lambda q, k, v, bias: attention(q, k, v, mask, bias_BHTS=bias, implementation=kind)

    ours, theirs = (
        jax.value_and_grad(lambda *x: (w * attend(kind)(*x)).sum(), (0, 1, 2, 3))(*qkv, bias)
        for kind in ("blocks", "xla")
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5), ours[1], theirs[1])
    np.testing.assert_allclose(attend("blocks")(*qkv, bias), attend("xla")(*qkv, bias), atol=1e-5)
    ours, theirs = (product_flops(jax.make_jaxpr(attend(kind))(*qkv, bias)) for kind in ("blocks", "xla"))
    assert ours == theirs * 5 / 8


@pytest.mark.parametrize("mask", [Mask(window=30), Mask(causal=True, segments_BT=LONG)], ids=["window", "packed"])
def test_padding_leaves_no_query_of_splash_without_a_key(mask):
    """Rows of padding mean nothing, but must be numbers: their gradient is 0 times theirs."""
    mask = dataclasses.replace(mask, lengths_B=np.array([130, 7]))
    q, k, v, w = make()
    w = w * (np.arange(256) < mask.lengths_B[:, None])[:, :, None, None]
    ours, theirs = (value_and_gradients(kind, mask, q, k, v, w) for kind in ("splash", "xla"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), ours[1], theirs[1])
    assert np.isfinite(ours[0]).all()


def test_cudnn_gets_lengths_and_no_dense_mask(monkeypatch):
    calls = []
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda *arrays, **options: calls.append((arrays, options)))
    q, k, v, _ = make(t=6, size=8)
    for mask in (Mask(lengths_B=LENGTHS), Mask(causal=True, window=3), Mask(window=3), MASKS["packed"], Mask(start=2)):
        attention(q, k, v, mask, implementation="cudnn")
    attention(*make(t=6, size=12)[:3], implementation="cudnn")
    (lengths, window, *others), arrays = [options for _, options in calls], [len(arrays) for arrays, _ in calls]
    assert arrays[:2] == [3, 3]
    assert lengths["implementation"] == "cudnn" and lengths["key_value_seq_lengths"] is LENGTHS
    assert window["implementation"] == "cudnn" and window["local_window_size"] == (2, 0) and window["is_causal"]
    assert [options["implementation"] for options in others] == ["xla"] * 4


def test_splash_is_split_over_the_mesh():
    if jax.device_count() < 4:
        pytest.skip("needs 4 devices: XLA_FLAGS=--xla_force_host_platform_device_count=4")
    arrays, mask = make(t=128), Mask(causal=True, lengths_B=np.array([128, 60]))
    expected = value_and_gradients("xla", mask, *arrays)
    mesh = jax.make_mesh(
        (2, 1, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3, devices=jax.devices()[:4]
    )
    with jax.set_mesh(mesh):
        result = value_and_gradients("splash", mask, *arrays)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), result, expected)
    assert result[0].sharding.shard_shape(result[0].shape) == (1, 128, 2, 32)


def test_splash_leaves_other_lengths_to_xla():
    q, k, v, _ = make(t=100)
    text = str(jax.make_jaxpr(lambda *x: attention(*x, Mask(causal=True), implementation="splash"))(q, k, v))
    assert "pallas_call" not in text
    q, k, v, _ = make(t=128)
    text = str(jax.make_jaxpr(lambda *x: attention(*x, Mask(causal=True), implementation="splash"))(q, k, v))
    assert "pallas_call" in text


def test_choice_follows_platform_and_dtype():
    assert choose("auto", "cpu", None) == "blocks"
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
        return attention(q, k, v, Mask(causal=True), implementation="splash").astype(jnp.float32).sum()

    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(value, (0, 1, 2))).lower(q, k, v).compile().as_text()
    assert "tpu_custom_call" in text
    assert "all-gather" not in text  # each device attends within its own rows and heads


@pytest.mark.gpu
def test_cudnn_equals_xla():
    if jax.default_backend() != "gpu":
        pytest.skip("needs a GPU")
    q, k, v, _ = (x.astype(jnp.bfloat16) for x in make(size=64))
    ours, theirs = (attention(q, k, v, Mask(causal=True), implementation=name) for name in ("cudnn", "xla"))
    np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), atol=2e-2)
