"""The U-Net against published sizes and diffusers; its fast forms against the plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.networks.unet import UNet, UNetConfig
from genjax.nn.conv import depth_to_space, space_to_depth

ADM = {"attention": (32, 16, 8), "scale_shift": True, "resample_blocks": True}
SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": ()}


def small(classes=0, dtype=None, **fields):
    return UNet(UNetConfig(**SMALL | fields), 1, classes, dtype)


def inputs(size=8, channels=1, batch=2):
    keys = jax.random.split(jax.random.key(0), 2)
    noise = 100 * jax.random.uniform(keys[1], (batch,))
    return jax.random.normal(keys[0], (batch, size, size, channels)), noise


def awake(net, *arrays):
    """Parameters without zeros, so that every path counts; drawn by shape, which spares compiling `init`."""
    shapes = {"params": jax.eval_shape(net.init, jax.random.key(1), *arrays)["params"]}
    rng = np.random.default_rng(2)
    draw = lambda leaf: (rng.standard_normal(leaf.shape) / max(1, np.prod(leaf.shape[:-1])) ** 0.5).astype("f")  # noqa: E731
    return jax.tree.map(draw, shapes)


def count(net, size, channels):
    shape = jax.ShapeDtypeStruct
    arguments = shape((1, size, size, channels), "float32"), shape((1,), "float32"), shape((1,), "int32")
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0), *arguments)["params"]))


def test_size_of_ddpm():
    """35.7M (appendix B of the paper); the number to the unit is that of the released weights."""
    net = UNetConfig().build(3, 0, None)
    assert count(net, 32, 3) == 35_746_307


@pytest.mark.parametrize(
    "size, millions, fields",
    [
        (64, 296, {"channels": 192, "multipliers": (1, 2, 3, 4), "blocks": 3, "head_channels": 64}),
        (256, 554, {"channels": 256, "multipliers": (1, 1, 2, 2, 4, 4), "blocks": 2, "head_channels": 64}),
    ],
)
def test_sizes_of_adm(size, millions, fields):
    """Model size in the paper's tables of hyper-parameters."""
    assert round(count(UNetConfig(**fields, **ADM).build(6, 1000, None), size, 3) / 1e6) == millions


@pytest.mark.parametrize("resample_blocks", [False, True])
def test_odd_sizes_and_labels(resample_blocks):
    """7, 4 and 2 pixels; the null label is a label of its own."""
    fields = {"multipliers": (1, 2, 2), "attention": (4,), "head_channels": 4}
    net = small(3, scale_shift=resample_blocks, resample_blocks=resample_blocks, **fields)
    x, noise = inputs(7)
    params = awake(net, x, noise)
    apply = jax.jit(net.apply)
    null, one, two = (apply(params, x, noise, jnp.full(2, label)) for label in (3, 1, 2))
    assert null.shape == x.shape and null.dtype == jnp.float32
    assert abs(null - one).max() > 1e-3 and abs(one - two).max() > 1e-3
    assert abs(apply(params, x, noise + 50, jnp.full(2, 3)) - null).max() > 1e-3


def test_patches_are_channels_of_a_coarser_grid():
    """Luhman & Luhman 2022: the U-Net of squares of pixels, and squares made pixels again."""
    x, noise = inputs(8, channels=3)
    patched = UNet(UNetConfig(**SMALL | {"patch": 2}), 3)
    params = awake(patched, x, noise)
    squares = UNet(UNetConfig(**SMALL), 12).apply(params, space_to_depth(x), noise)
    np.testing.assert_allclose(patched.apply(params, x, noise), depth_to_space(squares), rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="patch 2 does not divide 7 x 7 pixels"):
        patched.config.check((7, 7, 3))


def test_untrained_network_returns_zeros():
    net = small()
    x, noise = inputs()
    y, params = jax.jit(net.init_with_output)(jax.random.key(0), x, noise)
    assert not y.any()
    assert not params["params"]["down_0_0"]["out"]["kernel"].any()
    assert not params["params"]["middle_attention"]["attention"]["out"]["kernel"].any()


def test_dropout_belongs_to_the_example():
    net = small(dropout=0.5)
    x, noise = inputs(batch=3)
    params = awake(net, x, noise)
    index = jnp.array([5, 9, 5])
    apply = jax.jit(
        lambda x, noise, index: net.apply(params, x, noise, None, index, rngs={"dropout": jax.random.key(3)})
    )
    same = jnp.stack([x[0], x[1], x[0]]), jnp.stack([noise[0], noise[1], noise[0]])
    y = apply(*same, index)
    np.testing.assert_allclose(y[0], y[2], atol=1e-5)
    assert jax.eval_shape(net.apply, params, *same).shape == y.shape  # off without an index: no rng is asked for
    assert abs(apply(*same, index + 1)[0] - y[0]).max() > 1e-2


def test_bfloat16_reaches_the_convolutions():
    net = small(dtype="bfloat16")
    x, noise = inputs()
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, noise)
    text = jax.jit(net.apply).lower(shapes, x, noise).as_text()
    convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert convolutions and all(line.rstrip().endswith("xbf16>") for line in convolutions)
    assert jax.eval_shape(net.apply, shapes, x, noise).dtype == jnp.float32


def test_errors_name_the_cure():
    x, noise = inputs()
    with pytest.raises(UsageError, match=r"attention at heights \[16\].*8, 4"):
        jax.eval_shape(small(attention=(16,)).init, jax.random.key(0), x, noise)
    with pytest.raises(UsageError, match="heads do not divide 16 channels"):
        jax.eval_shape(small(heads=3).init, jax.random.key(0), x, noise)


@pytest.mark.peers
@pytest.mark.parametrize("adm", [False, True])
def test_equals_diffusers(adm):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    kind = "resnet" if adm else "conv"
    down = "ResnetDownsampleBlock2D" if adm else "DownBlock2D"
    up = "ResnetUpsampleBlock2D" if adm else "UpBlock2D"
    theirs = diffusers.UNet2DModel(
        in_channels=2,
        out_channels=3,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=(down, "AttnDownBlock2D", down),
        up_block_types=(up, "AttnUpBlock2D", up),
        attention_head_dim=16 if adm else 64,
        num_class_embeds=4,
        downsample_padding=0,
        downsample_type=kind,
        upsample_type=kind,
        resnet_time_scale_shift="scale_shift" if adm else "default",
        attn_norm_num_groups=32,
    ).eval()
    for module in theirs.modules():  # diffusers has one number of groups for all widths
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = min(32, module.num_channels // 4)
    config = UNetConfig(
        channels=32,
        multipliers=(1, 2, 2),
        blocks=2,
        attention=(8,),
        head_channels=16 if adm else 64,
        scale_shift=adm,
        resample_blocks=adm,
    )
    net = UNet(config, 3, 3)
    x, noise = inputs(16, 2)
    label = np.array([1, 3])
    params = from_diffusers({k: v.detach().numpy() for k, v in theirs.state_dict().items()}, heads=4 if adm else 1)
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, noise)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    with torch.no_grad():
        nchw = torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())
        expected = theirs(nchw, torch.from_numpy(np.array(noise)), torch.from_numpy(label)).sample.numpy()
    ours = jax.jit(net.apply)({"params": params}, x, noise, label)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), expected, atol=1e-4, rtol=1e-4)


def from_diffusers(weights, heads):
    """UNet2DModel's weights as ours, for three levels of two blocks."""

    def linear(name):
        return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}

    def conv(name):
        return {"kernel": weights[f"{name}.weight"].transpose(2, 3, 1, 0), "bias": weights[f"{name}.bias"]}

    def norm(name):
        return {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}

    def block(name):
        out = {
            "norm_in": norm(f"{name}.norm1"),
            "in": conv(f"{name}.conv1"),
            "condition": linear(f"{name}.time_emb_proj"),
            "norm_out": norm(f"{name}.norm2"),
            "out": conv(f"{name}.conv2"),
        }
        if f"{name}.conv_shortcut.weight" in weights:
            skip = conv(f"{name}.conv_shortcut")
            out["skip"] = {"kernel": skip["kernel"][0, 0], "bias": skip["bias"]}
        return out

    def attention(name):
        q, k, v, out = (linear(f"{name}.{part}") for part in ("to_q", "to_k", "to_v", "to_out.0"))
        width = len(out["bias"])
        qkv = {
            "kernel": np.stack([p["kernel"].reshape(width, heads, -1) for p in (q, k, v)], 1),
            "bias": np.stack([p["bias"].reshape(heads, -1) for p in (q, k, v)]),
        }
        out["kernel"] = out["kernel"].reshape(heads, -1, width)
        return {"norm": norm(f"{name}.group_norm"), "attention": {"qkv": qkv, "out": out}}

    params = {
        "noise_in": linear("time_embedding.linear_1"),
        "noise_out": linear("time_embedding.linear_2"),
        "labels": {"embedding": weights["class_embedding.weight"]},
        "first": conv("conv_in"),
        "norm": norm("conv_norm_out"),
        "last": conv("conv_out"),
        "middle_0": block("mid_block.resnets.0"),
        "middle_attention": attention("mid_block.attentions.0"),
        "middle_1": block("mid_block.resnets.1"),
    }
    for level in range(3):
        for side, number, blocks in (("down", level, 2), ("up", 2 - level, 3)):
            theirs = f"{side}_blocks.{number}"
            for i in range(blocks):
                params[f"{side}_{level}_{i}"] = block(f"{theirs}.resnets.{i}")
                if level == 1:
                    params[f"{side}_{level}_{i}_attention"] = attention(f"{theirs}.attentions.{i}")
        for ours, theirs in (
            (f"shrink_{level}", f"down_blocks.{level}.downsamplers.0"),
            (f"enlarge_{level}", f"up_blocks.{2 - level}.upsamplers.0"),
        ):
            if f"{theirs}.conv.weight" in weights:
                params[ours] = conv(f"{theirs}.conv")
            elif f"{theirs}.norm1.weight" in weights:
                params[ours] = block(theirs)
    return params
