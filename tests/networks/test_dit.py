"""DiT against published sizes and diffusers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.networks.dit import DiT, DiTConfig, dit
from genjax.nn.embedding import positions_2d, sinusoids

SMALL = {"layers": 2, "width": 16, "heads": 2, "patch": 2}


def small(out_channels=3, classes=0, dtype=None, **fields):
    return DiT(DiTConfig(**SMALL | fields), out_channels, classes, dtype)


def inputs(height=4, width=6, channels=3, batch=2):
    keys = jax.random.split(jax.random.key(0), 2)
    noise = 100 * jax.random.uniform(keys[1], (batch,))
    return jax.random.normal(keys[0], (batch, height, width, channels)), noise


def awake(net, *arrays):
    """Parameters without zeros, so that every path counts; drawn by shape, which spares compiling `init`."""
    shapes = jax.eval_shape(net.init, jax.random.key(1), *arrays)
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: (0.3 * rng.standard_normal(leaf.shape)).astype("f"), shapes)


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize("name, millions", [("S", 33), ("B", 130), ("L", 458), ("XL", 675)])
def test_published_sizes(name, millions, patch):
    """The paper's table 4, for latents of 32 x 32 x 4; with patches of 8 B, L and XL have 1M more there."""
    millions += patch == 8 and name != "S"
    shape = jax.ShapeDtypeStruct
    arguments = shape((1, 32, 32, 4), "float32"), shape((1,), "float32"), shape((1,), "int32")
    net = dit(name, patch).build(8, 1000, None)
    shapes = jax.eval_shape(net.init, jax.random.key(0), *arguments)
    assert round(sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6) == millions


def test_shapes_and_labels():
    """An oblong image; the null label is a label of its own, and the default."""
    net = small(5, 3)
    x, noise = inputs()
    params = awake(net, x, noise)
    apply = jax.jit(net.apply)
    null, one, two = (apply(params, x, noise, jnp.full(2, label)) for label in (3, 1, 2))
    assert null.shape == (2, 4, 6, 5) and null.dtype == jnp.float32
    np.testing.assert_array_equal(apply(params, x, noise), null)
    assert abs(null - one).max() > 1e-3 and abs(one - two).max() > 1e-3
    assert abs(apply(params, x, noise + 50) - null).max() > 1e-3


def test_initialization():
    """Zeros in modulations and output, hence zeros out; 0.02 for the noise level and the labels, Xavier elsewhere."""
    net = small(classes=3, width=64)
    x, noise = inputs()
    y, params = jax.jit(net.init_with_output)(jax.random.key(0), x, noise)
    assert not y.any()
    p = params["params"]
    for zero in (p["blocks"]["adapt"], p["adapt"], p["out"]):
        assert not zero["kernel"].any()
    for normal in (p["noise_in"]["kernel"], p["noise_out"]["kernel"], p["labels"]["embedding"]):
        np.testing.assert_allclose(normal.std(), 0.02, rtol=0.2)
    for kernel, fan in ((p["blocks"]["attention"]["qkv"]["kernel"], 4 * 64), (p["patches"]["kernel"], 12 + 64)):
        limit = (6 / fan) ** 0.5
        assert 0.95 * limit < abs(kernel).max() <= limit


def value_and_gradients(fields):
    net = small(**fields)
    x, noise = inputs()
    params = awake(net, x, noise)
    rngs = {"dropout": jax.random.key(3)}
    value = lambda params: (net.apply(params, x, noise, None, jnp.arange(2), rngs=rngs) ** 2).mean()  # noqa: E731
    return jax.jit(jax.value_and_grad(value))(params)


@pytest.mark.parametrize("fields", [{"unroll": 2}, {"remat": "full"}, {"remat": "dots", "unroll": 2}])
def test_unrolling_and_recomputing_change_nothing(fields):
    plain, other = value_and_gradients({"dropout": 0.1}), value_and_gradients({"dropout": 0.1} | fields)

    def agree(a, b):
        # Against the largest entry: the gradient of the keys' biases is rounding alone, as softmax ignores shifts.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())

    jax.tree.map(agree, plain, other)


def test_dropout_belongs_to_the_example():
    net = small(dropout=0.5)
    x, noise = (jnp.stack([a[0], a[1], a[0]]) for a in inputs())
    params = awake(net, x, noise)
    rngs = {"dropout": jax.random.key(3)}
    apply = jax.jit(lambda index: net.apply(params, x, noise, None, index, rngs=rngs))
    y = apply(jnp.array([5, 9, 5]))
    np.testing.assert_allclose(y[0], y[2], atol=1e-5)
    assert jax.eval_shape(net.apply, params, x, noise).shape == y.shape  # off without an index: no rng is asked for
    assert abs(apply(jnp.array([6, 9, 5]))[0] - y[0]).max() > 1e-2


def test_bfloat16_reaches_the_matrix_products():
    net = small(dtype="bfloat16")
    x, noise = inputs()
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, noise)
    text = jax.jit(net.apply).lower(shapes, x, noise).as_text()
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert products and all("xf32>, tensor" not in line.split(" : (")[1] for line in products)


def test_errors_name_the_cure():
    x, noise = inputs()
    for fields, message in (
        ({"patch": 4}, "patch 4 does not divide 4 x 6 pixels"),
        ({"heads": 3}, "3 heads do not divide"),
    ):
        with pytest.raises(UsageError, match=message):
            jax.eval_shape(small(**fields).init, jax.random.key(0), x, noise)
    with pytest.raises(UsageError, match="4 divides"):
        positions_2d(2, 2, 6)


def test_sinusoids():
    np.testing.assert_allclose(sinusoids(jnp.array([0.0]), 5), [[1, 1, 0, 0, 0]])
    np.testing.assert_allclose(
        sinusoids(jnp.array([2.0]), 4), [[np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]], rtol=1e-5
    )
    last = positions_2d(2, 3, 8)[-1]  # column 2, row 1
    angles = [2, 0.02, 1, 0.01]
    expected = [np.sin(angles[:2]), np.cos(angles[:2]), np.sin(angles[2:]), np.cos(angles[2:])]
    np.testing.assert_allclose(last, np.concatenate(expected), rtol=1e-5)


@pytest.mark.peers
def test_equals_diffusers():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    layers, heads, width = 2, 2, 16
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        in_channels=3,
        out_channels=6,
        num_layers=layers,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=5,
        norm_eps=1e-6,
    ).eval()
    net = small(6, 5, layers=layers, width=width, heads=heads)
    x, noise = inputs(8, 8)
    label = np.array([1, 5])
    # Each of diffusers' blocks has an own embedding of the condition; the released weights repeat one.
    state = theirs.state_dict()
    for name in state:
        if ".norm1.emb." in name:
            state[name].copy_(state[name.replace("blocks.1", "blocks.0")])
    for block in theirs.transformer_blocks:  # diffusers spaces the frequencies as DDPM, the released code does not
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    params = from_diffusers({k: v.detach().numpy() for k, v in state.items()}, layers, heads)
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, noise)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    with torch.no_grad():
        nchw = torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())
        expected = theirs(nchw, torch.from_numpy(np.array(noise)), torch.from_numpy(label)).sample.numpy()
    ours = jax.jit(net.apply)({"params": params}, x, noise, label)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), expected, atol=1e-4, rtol=1e-4)


def from_diffusers(weights, layers, heads):
    def linear(name):
        return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}

    def parts(layer, n):
        """A layer of n outputs side by side as one of (n, width) outputs."""
        kernel, bias = (layer[k].reshape(*layer[k].shape[:-1], n, -1) for k in ("kernel", "bias"))
        return {"kernel": kernel, "bias": bias}

    def block(name):
        q, k, v = (parts(linear(f"{name}.attn1.to_{c}"), heads) for c in "qkv")
        out = linear(f"{name}.attn1.to_out.0")
        qkv = {key: np.stack([part[key] for part in (q, k, v)], -3) for key in ("kernel", "bias")}
        return {
            "adapt": parts(linear(f"{name}.norm1.linear"), 6),
            "attention": {"qkv": qkv, "out": out | {"kernel": out["kernel"].reshape(heads, -1, len(out["bias"]))}},
            "up": linear(f"{name}.ff.net.0.proj"),
            "down": linear(f"{name}.ff.net.2"),
        }

    patches = weights["pos_embed.proj.weight"]
    blocks = [block(f"transformer_blocks.{i}") for i in range(layers)]
    embedding = "transformer_blocks.0.norm1.emb"
    return {
        "patches": {
            "kernel": patches.transpose(2, 3, 1, 0).reshape(-1, len(patches)),
            "bias": weights["pos_embed.proj.bias"],
        },
        "noise_in": linear(f"{embedding}.timestep_embedder.linear_1"),
        "noise_out": linear(f"{embedding}.timestep_embedder.linear_2"),
        "labels": {"embedding": weights[f"{embedding}.class_embedder.embedding_table.weight"]},
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks),
        "adapt": parts(linear("proj_out_1"), 2),
        "out": linear("proj_out_2"),
    }
