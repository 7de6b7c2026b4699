"""NVIDIA's names of StyleGAN2's weights: every parameter gets the tensor of its place, in its layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.interop.stylegan2 import from_nvidia
from genjax.networks import StyleGAN2Config

CONFIG = StyleGAN2Config(latent=6, style=5, mapping_layers=2, label_layers=1, channels=64, most_channels=12)
WIDTHS = {4: 12, 8: 8, 16: 4}
RANDOM = np.random.default_rng(0)


def tensors(classes, residual):
    """By NVIDIA's names, in PyTorch's layouts (out, in, height, width), for images of 16 x 16 x 3."""
    shapes = {}

    def layer(name, *shape, bias=True):
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    def modulated(name, outputs, inputs, kernel):
        layer(name, outputs, inputs, kernel, kernel)
        layer(f"{name}.affine", inputs, 5)

    g, d = "generator", "discriminator"
    layer(f"{g}.mapping.fc0", 5, 6 + 5 * bool(classes))
    layer(f"{g}.mapping.fc1", 5, 5)
    shapes |= {f"{g}.mapping.w_avg": (5,), f"{g}.synthesis.b4.const": (12, 4, 4)}
    for side, width in WIDTHS.items():
        block = f"{g}.synthesis.b{side}"
        shapes[f"{block}.resample_filter"] = (4, 4)  # not a weight: left out
        for conv in ("conv0", "conv1")[side == 4 :]:
            modulated(f"{block}.{conv}", width, WIDTHS[side // 2] if conv == "conv0" else width, 3)
            shapes |= {f"{block}.{conv}.noise_strength": (), f"{block}.{conv}.noise_const": (side, side)}
        if side == 16 or not residual:
            modulated(f"{block}.torgb", 3, width, 1)
        if residual and side > 4:
            layer(f"{block}.skip", width, WIDTHS[side // 2], 1, 1, bias=False)
    for side in (16, 8):
        width, narrow = WIDTHS[side], WIDTHS[side // 2]
        if side == 16:
            layer(f"{d}.b{side}.fromrgb", width, 3, 1, 1)
        layer(f"{d}.b{side}.conv0", width, width, 3, 3)
        layer(f"{d}.b{side}.conv1", narrow, width, 3, 3)
        layer(f"{d}.b{side}.skip", narrow, width, 1, 1, bias=False)
    layer(f"{d}.b4.conv", 12, 13, 3, 3)
    layer(f"{d}.b4.fc", 12, 12 * 16)
    layer(f"{d}.b4.out", 12 if classes else 1, 12)
    if classes:
        layer(f"{g}.mapping.embed", 5, classes)
        layer(f"{d}.mapping.embed", 12, classes)
        layer(f"{d}.mapping.fc0", 12, 12)
    return {name: RANDOM.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("classes", "generator"), [(0, "skip"), (3, "residual")])
def test_the_parameters_have_the_shapes_of_the_networks(classes, generator):
    params, state = from_nvidia(given := tensors(classes, generator == "residual"))
    config = StyleGAN2Config(**{**vars(CONFIG), "generator": generator})
    networks, label = config.networks((16, 16, 3), classes, None), jnp.zeros((2,), jnp.int32) if classes else None
    inputs = {"mapping": (jnp.zeros((2, 6)), label), "synthesis": (jnp.zeros((2, 6, 5)),)}
    inputs |= {"discriminator": (jnp.zeros((2, 16, 16, 3)), label)}
    for name, arguments in inputs.items():
        made = jax.eval_shape(networks[name].init, jax.random.key(0), *arguments)["params"]
        assert jax.tree.map(np.shape, params[name]) == jax.tree.map(np.shape, made)
    np.testing.assert_array_equal(state["style"]["average"], given["generator.mapping.w_avg"])


def test_the_dense_layer_reads_the_same_pixel_of_the_same_channel():
    given = tensors(0, residual=False)
    features = RANDOM.normal(size=(12, 4, 4)).astype(np.float32)
    kernel = from_nvidia(given)[0]["discriminator"]["dense"]["kernel"]
    expected = given["discriminator.b4.fc.weight"] @ features.reshape(-1)
    np.testing.assert_allclose(features.transpose(1, 2, 0).reshape(-1) @ kernel, expected, rtol=1e-4, atol=1e-5)


def test_a_missing_tensor_is_named():
    given = tensors(0, residual=False)
    del given["generator.synthesis.b8.conv1.affine.bias"]
    with pytest.raises(UserError, match=r"b8\.conv1\.affine\.bias"):
        from_nvidia(given)
