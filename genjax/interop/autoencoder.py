"""What diffusers' autoencoders share: the layers of a SpatialAutoencoder by their names there, and config.json."""

from collections.abc import Mapping
from typing import Any

from genjax.errors import UserError
from genjax.interop.blocks import cross_attention
from genjax.interop.family import Row, plain
from genjax.interop.settings import fixed, whole
from genjax.networks.spatial_autoencoder import SpatialAutoencoder, groups_of

__all__ = ["OLD", "conv", "half", "network_config", "network_fields"]

FIXED = {"act_fn": "silu", "mid_block_add_attention": True}
OLD = (("to_out.0", "proj_attn"), ("to_q", "query"), ("to_k", "key"), ("to_v", "value"))  # of the attention's matrices


def network_fields(config: Mapping[str, Any], latent_convs: bool) -> SpatialAutoencoder:
    """Raises UserError for layers that a SpatialAutoencoder does not have."""
    widths = config.get("block_out_channels")
    if not isinstance(widths, list) or not all(type(width) is int and width > 0 for width in widths) or not widths:
        raise UserError(f"its block_out_channels are {str(widths)[:40]}, and must be positive whole numbers")
    fixed(config, FIXED | types(len(widths)) | {"norm_num_groups": groups(widths)})
    return SpatialAutoencoder(tuple(widths), whole(config, "layers_per_block", 1), latent_convs)


def network_config(model: Any) -> dict[str, Any]:
    """Of a model with `network` and `image_shape`. Raises UserError for another network."""
    network = model.network
    if not isinstance(network, SpatialAutoencoder):
        raise UserError(f"its network is a SpatialAutoencoder, not a {type(network).__name__}")
    return FIXED | {
        "in_channels": model.image_shape[-1],
        "out_channels": model.image_shape[-1],
        "block_out_channels": list(network.widths),
        "layers_per_block": network.blocks,
        "norm_num_groups": groups(network.widths),
        "sample_size": model.image_shape[0],
        **types(len(network.widths)),
    }


def types(levels: int) -> dict[str, Any]:
    return {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}


def groups(widths: tuple[int, ...] | list[int]) -> int:
    """Of all normalizations. Raises UserError where ours have different numbers of them."""
    found = {groups_of(width) for width in widths}
    if len(found) > 1:
        raise UserError(f"it has one number of groups for all normalizations, and widths {list(widths)} have {found}")
    return found.pop()


def conv(ours: str, theirs: str) -> list[Row]:
    """(h, w, in, out) here, (out, in, h, w) there."""
    weight = (f"{theirs}.weight",)
    kernel = Row(f"{ours}/kernel", weight, lambda x: x.transpose(2, 3, 1, 0), lambda x: (x.transpose(3, 2, 0, 1),))
    return [kernel, plain(f"{ours}/bias", f"{theirs}.bias")]


def norm(ours: str, theirs: str) -> list[Row]:
    return [plain(f"{ours}/norm/scale", f"{theirs}.weight"), plain(f"{ours}/norm/bias", f"{theirs}.bias")]


def block(ours: str, theirs: str, shortcut: bool = False) -> list[Row]:
    found = [row for n in (1, 2) for row in norm(f"{ours}/norm{n}", f"{theirs}.norm{n}")]
    found += [row for n in (1, 2) for row in conv(f"{ours}/conv{n}", f"{theirs}.conv{n}")]
    return found + (conv(f"{ours}/shortcut", f"{theirs}.conv_shortcut") if shortcut else [])


def attention(ours: str, theirs: str) -> list[Row]:
    """Its matrices were once convolutions of 1x1."""
    names = tuple(f"{theirs}.to_{x}" for x in "qkv")

    def flat(row: Row) -> Row:
        return row._replace(join=lambda x, *rest: row.join(x.reshape(x.shape[:2]), *rest))

    return [flat(row) for row in cross_attention(ours, names, f"{theirs}.to_out.0", bias=True)]


def half(model: Any, side: str, ours: str, path: str) -> list[Row]:
    widths, blocks = model.network.widths, model.network.blocks + (path == "up")
    levels, at = len(widths), f"{side}.mid_block"
    found = [row for part in ("conv_in", "conv_out") for row in conv(f"{ours}/{part}", f"{side}.{part}")]
    found += norm(f"{ours}/norm_out", f"{side}.conv_norm_out")
    found += attention(f"{ours}/middle/attention", f"{at}.attentions.0")
    found += norm(f"{ours}/middle/attention/norm", f"{at}.attentions.0.group_norm")
    found += [row for n in (0, 1) for row in block(f"{ours}/middle/block_{n}", f"{at}.resnets.{n}")]
    width = widths[0] if path == "down" else widths[-1]
    for i in range(levels):
        stage, level = f"{side}.{path}_blocks.{i}", i if path == "down" else levels - 1 - i
        for j in range(blocks):
            found += block(f"{ours}/level_{level}_block_{j}", f"{stage}.resnets.{j}", shortcut=width != widths[level])
            width = widths[level]
        if i < levels - 1:  # we name a change of resolution by the finer-to-coarser number of its lower level
            found += conv(f"{ours}/{path}_{level + (path == 'down')}", f"{stage}.{path}samplers.0.conv")
    return found
