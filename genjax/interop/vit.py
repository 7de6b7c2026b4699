"""Weights of vision transformers, in the layout of Hugging Face's transformers, as parameters of `networks.vit.ViT`."""

from collections.abc import Mapping

import numpy as np

from genjax.networks.vit import ViTConfig

__all__ = ["Arrays", "from_clip", "from_dinov2"]

Arrays = Mapping[str, np.ndarray]


def from_dinov2(tensors: Arrays, config: ViTConfig) -> dict[str, np.ndarray]:
    """The parameters by their names, parts joined with "/", of transformers' Dinov2Model.

    LayerScale goes into the weights before it: it has no layer of its own.

    Raises:
      KeyError: a tensor is missing. ValueError: one is of another size than the network's.
    """
    at = "encoder.layer.{}."
    names = {
        "query": f"{at}attention.attention.query",
        "key": f"{at}attention.attention.key",
        "value": f"{at}attention.attention.value",
        "out": f"{at}attention.output.dense",
        "attention_norm": f"{at}norm1",
        "mlp_norm": f"{at}norm2",
        "up": f"{at}mlp.fc1",
        "down": f"{at}mlp.fc2",
    }
    tensors = dict(tensors)
    for layer in range(config.blocks.layers):
        for part, scale in (("out", "layer_scale1"), ("down", "layer_scale2")):
            factor = tensors[f"{at}{scale}.lambda1".format(layer)]
            weight, bias = (f"{names[part]}.{kind}".format(layer) for kind in ("weight", "bias"))
            tensors[weight], tensors[bias] = factor[:, None] * tensors[weight], factor * tensors[bias]
    positions = tensors["embeddings.position_embeddings"][0]
    return {
        **_patches(tensors, "embeddings.patch_embeddings.projection"),
        "class": tensors["embeddings.cls_token"][0, 0],
        "positions": at_size(positions, config.positions),
        **_blocks(tensors, names, config),
        **_norm(tensors, "final_norm", "layernorm"),
    }


def from_clip(tensors: Arrays, config: ViTConfig) -> dict[str, np.ndarray]:
    """As `from_dinov2`, of transformers' CLIPModel or CLIPVisionModelWithProjection."""
    tensors = {name.removeprefix("vision_model."): x for name, x in tensors.items()}
    at = "encoder.layers.{}."
    names = {
        "query": f"{at}self_attn.q_proj",
        "key": f"{at}self_attn.k_proj",
        "value": f"{at}self_attn.v_proj",
        "out": f"{at}self_attn.out_proj",
        "attention_norm": f"{at}layer_norm1",
        "mlp_norm": f"{at}layer_norm2",
        "up": f"{at}mlp.fc1",
        "down": f"{at}mlp.fc2",
    }
    return {
        **_patches(tensors, "embeddings.patch_embedding"),
        "class": tensors["embeddings.class_embedding"],
        "positions": tensors["embeddings.position_embedding.weight"],
        **_norm(tensors, "first_norm", "pre_layrnorm"),  # their spelling
        **_blocks(tensors, names, config),
        **_norm(tensors, "final_norm", "post_layernorm"),
        "projection/kernel": tensors["visual_projection.weight"].T,
    }


def _patches(tensors: Arrays, name: str) -> dict[str, np.ndarray]:
    kernel_DCHW = tensors[f"{name}.weight"]
    kernel = kernel_DCHW.transpose(2, 3, 1, 0).reshape(-1, len(kernel_DCHW))
    bias = {"patches/bias": tensors[f"{name}.bias"]} if f"{name}.bias" in tensors else {}
    return {"patches/kernel": kernel} | bias


def _norm(tensors: Arrays, ours: str, theirs: str) -> dict[str, np.ndarray]:
    return {f"{ours}/scale": tensors[f"{theirs}.weight"], f"{ours}/bias": tensors[f"{theirs}.bias"]}


def _blocks(tensors: Arrays, names: Mapping[str, str], config: ViTConfig) -> dict[str, np.ndarray]:
    """The stacked blocks: matrices are (out, in) there, and (in, out) with heads apart here."""
    layers, heads, size = config.blocks.layers, config.blocks.heads, config.blocks.size

    def stack(part: str, kind: str) -> np.ndarray:
        arrays = [tensors[f"{names[part]}.{kind}".format(layer)] for layer in range(layers)]
        return np.stack([x.T for x in arrays])

    def heads_apart(kind: str) -> np.ndarray:
        parts = [stack(part, kind) for part in ("query", "key", "value")]
        return np.stack([x.reshape(*x.shape[:-1], heads, size) for x in parts], axis=-2)

    found = {
        f"blocks/attention/qkv/{ours}": heads_apart(kind) for ours, kind in (("kernel", "weight"), ("bias", "bias"))
    }
    out = stack("out", "weight")
    found |= {
        "blocks/attention/out/kernel": out.reshape(layers, heads, size, -1),
        "blocks/attention/out/bias": stack("out", "bias"),
    }
    for part in ("up", "down"):
        found |= {f"blocks/mlp/{part}/kernel": stack(part, "weight"), f"blocks/mlp/{part}/bias": stack(part, "bias")}
    for part in ("attention_norm", "mlp_norm"):
        found |= {f"blocks/{part}/scale": stack(part, "weight"), f"blocks/{part}/bias": stack(part, "bias")}
    return found


def at_size(position_TD: np.ndarray, count: int) -> np.ndarray:
    """A table of positions, that of the class first, for another number of patches: as PyTorch's bicubic has it."""
    side, new = (round((n - 1) ** 0.5) for n in (len(position_TD), count))
    if side == new:
        return position_TD
    grid = position_TD[1:].reshape(side, side, -1)
    weight = bicubic(side, new)
    grid = np.einsum("ih,jw,hwd->ijd", weight, weight, grid)
    return np.concatenate([position_TD[:1], grid.reshape(new * new, -1)]).astype(np.float32)


def bicubic(side: int, new: int) -> np.ndarray:
    """(new, side) weights of Keys's kernel with a = -0.75, pixels beyond the edge being those at the edge."""
    place = (np.arange(new) + 0.5) * side / new - 0.5
    first, a = np.floor(place).astype(int), -0.75
    weight = np.zeros((new, side))
    for tap in range(-1, 3):
        x = np.abs(place - first - tap)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        np.add.at(weight, (np.arange(new), np.clip(first + tap, 0, side - 1)), np.where(x <= 1, near, far))
    return weight
