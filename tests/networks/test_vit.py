"""DINOv2 and CLIP's image encoder against transformers, on small random weights in the layout of their files."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image as Pillow
from safetensors.numpy import load_file, save_file

from genjax.errors import UserError
from genjax.interop.vit import at_size
from genjax.metrics.features import load_extractor, vit
from genjax.networks.transformer import Config
from genjax.networks.vit import ViTConfig
from genjax.spec import Image

BLOCKS = {"layers": 2, "heads": 2, "width": 16, "hidden": 32}
DINOV2 = ViTConfig(blocks=Config(**BLOCKS, mlp="gelu_exact", eps=1e-6), patch=4, size=16)
CLIP = ViTConfig(
    blocks=Config(**BLOCKS, mlp="quick_gelu"), patch=4, size=16, patch_bias=False, first_norm=True, projection=6
)
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 4}


def pictures(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def saved(transformers, torch, model, folder):
    """A file of random weights, none of which is 0 or 1, as transformers writes it."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    model.eval().save_pretrained(folder)
    return folder / "model.safetensors"


def pillow(picture, height, width, mean, std):
    """The pixels that transformers' processors give to the network, (3, height, width)."""
    seen = np.asarray(Pillow.fromarray(picture).resize((width, height), Pillow.Resampling.BICUBIC), np.float32)
    return ((seen / 255 - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)


@pytest.mark.peers
@pytest.mark.parametrize("trained", [16, 28])
def test_dinov2_is_that_of_transformers(tmp_path, trained):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.Dinov2Config(**SIZES, mlp_ratio=2, image_size=trained)
    model = transformers.Dinov2Model(config)
    file = saved(transformers, torch, model, tmp_path)
    extractor = vit.dinov2(file, Image(16, 16, 3), jax.jit, DINOV2)
    image = pictures(3, 16, 16, 3) // np.array([1, 3, 9], np.uint8)[:, None, None, None]
    pixels = np.stack([pillow(picture, 16, 16, *vit.IMAGENET) for picture in image])
    with torch.no_grad():
        expected = model(torch.tensor(pixels)).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(extractor.see(image)["features"], expected, atol=1e-4)
    assert expected.std(0).mean() > 1e-2  # 100 times the tolerance


@pytest.mark.peers
def test_clip_is_that_of_transformers(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(**SIZES, intermediate_size=32, image_size=16, projection_dim=6)
    model = transformers.CLIPVisionModelWithProjection(config)
    file = saved(transformers, torch, model, tmp_path)
    extractor = vit.clip(file, Image(16, 16, 3), jax.jit, CLIP)
    image = pictures(3, 16, 16, 3) // np.array([1, 3, 9], np.uint8)[:, None, None, None]
    pixels = np.stack([pillow(picture, 16, 16, *vit.CLIP) for picture in image])
    with torch.no_grad():
        expected = model(torch.tensor(pixels)).image_embeds.numpy()
    np.testing.assert_allclose(extractor.see(image)["features"], expected, atol=1e-4)
    assert expected.std(0).mean() > 1e-2  # 100 times the tolerance


@pytest.mark.peers
def test_positions_are_interpolated_as_by_pytorch():
    torch = pytest.importorskip("torch")
    table = np.random.default_rng(0).standard_normal((1 + 37 * 37, 3)).astype(np.float32)
    grid = torch.tensor(table[1:]).reshape(1, 37, 37, 3).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, size=(16, 16), mode="bicubic").permute(0, 2, 3, 1).reshape(-1, 3)
    ours = at_size(table, 257)
    np.testing.assert_allclose(ours[1:], expected.numpy(), atol=1e-5)
    assert np.array_equal(ours[0], table[0]) and at_size(table, len(table)) is table


@pytest.mark.parametrize("height, width", [(8, 8), (32, 32), (30, 50)])
def test_pictures_are_resized_as_by_pillow(height, width):
    image = pictures(1, height, width, 3)
    ours = np.asarray(vit.resized(np.float32(image), 16, 24))[0]
    theirs = np.asarray(Pillow.fromarray(image[0]).resize((24, 16), Pillow.Resampling.BICUBIC), np.float32)
    assert np.abs(ours - theirs).max() <= 1 and (ours != theirs).mean() < 0.01  # Pillow's weights have 22 bits


def plain_clip(layers=2):
    """Arrays of CLIP's layout and of the small network's sizes."""
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.class_embedding": (16,),
        "embeddings.patch_embedding.weight": (16, 3, 4, 4),
        "embeddings.position_embedding.weight": (17, 16),
        "pre_layrnorm": (16,),
        "post_layernorm": (16,),
    }
    for layer in range(layers):
        at = f"encoder.layers.{layer}."
        shapes |= {f"{at}self_attn.{part}_proj": (16, 16) for part in ("q", "k", "v", "out")}
        shapes |= {
            f"{at}layer_norm1": (16,),
            f"{at}layer_norm2": (16,),
            f"{at}mlp.fc1": (32, 16),
            f"{at}mlp.fc2": (16, 32),
        }
    arrays = {"visual_projection.weight": rng.standard_normal((6, 16)), "text_model.x": np.zeros(2)}
    for name, shape in shapes.items():
        if "embedding" in name:
            arrays[f"vision_model.{name}"] = rng.standard_normal(shape)
        else:
            arrays[f"vision_model.{name}.weight"] = rng.standard_normal(shape)
            arrays[f"vision_model.{name}.bias"] = rng.standard_normal(shape[0])
    return {name: x.astype(np.float32) for name, x in arrays.items()}


def test_a_file_without_pytorch_gives_features_of_grey_and_oblong_pictures(tmp_path):
    save_file(plain_clip(), file := tmp_path / "clip.safetensors")
    extractor = vit.clip(file, Image(9, 12, 1), jax.jit, CLIP)
    grey = pictures(2, 9, 12, 1)
    features = extractor.see(grey)["features"]
    assert features.shape == (2, 6) and extractor.classes == 0 and "logits" not in extractor.see(grey)
    np.testing.assert_array_equal(features, extractor.see(grey.repeat(3, -1))["features"])
    edges = grey.copy()
    edges[:, :, [0, -1]] = 255 - edges[:, :, [0, -1]]  # mostly cropped away
    assert np.abs(extractor.see(edges)["features"] - features).max() < np.abs(features).max()


def test_a_file_of_another_network_is_one_line(tmp_path):
    save_file(plain_clip(), file := tmp_path / "clip.safetensors")
    with pytest.raises(UserError, match=r"clip\.safetensors holds no weights of CLIP ViT-L/14: its .* is not there"):
        load_extractor(f"clip:{file}", Image(16, 16, 3))
    with pytest.raises(UserError, match=r"no weights of DINOv2 ViT-L/14: its encoder\.layer\.0\.\S+ is not there"):
        load_extractor(f"dinov2:{file}", Image(16, 16, 3))
    wide = {name: np.pad(x, [(0, 2)] * x.ndim) if x.ndim != 4 else x for name, x in load_file(file).items()}
    save_file(wide, file)
    with pytest.raises(UserError, match=r"no weights of CLIP ViT-L/14: they are of another size"):
        vit.clip(file, Image(16, 16, 3), jax.jit, CLIP)
    save_file(plain_clip(), file)
    with pytest.raises(UserError, match=r"no weights of CLIP ViT-L/14: its positions, of shape \(65, 16\), is \(17"):
        vit.clip(file, Image(16, 16, 3), jax.jit, dataclasses.replace(CLIP, size=32))
