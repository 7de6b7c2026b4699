"""`VQModel` of diffusers, VQGAN's and VQ-Diffusion's first stage, as a VQVAE with a SpatialAutoencoder, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.interop.autoencoder import OLD, conv, half, network_config, network_fields
from genjax.interop.family import Family, Row, plain
from genjax.interop.settings import fixed, whole
from genjax.nn.codebook import VectorQuantizer

__all__ = ["VQ_MODEL"]

CODEBOOK = "quantize.embedding.weight"


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    width = whole(config, "latent_channels", 3)
    if config.get("vq_embed_dim") not in (None, width):
        raise UserError(
            f"its vq_embed_dim is {str(config['vq_embed_dim'])[:40]}, its latent_channels {width}: here they are one"
        )
    fixed(config, {"norm_type": "group", "lookup_from_codebook": False})
    return {
        "network": network_fields(config, latent_convs=True),
        "quantizer.size": whole(config, "num_vq_embeddings", 256),
        "quantizer.width": width,
    }


def config(model: Any, end: int | None) -> dict[str, Any]:
    """Raises UserError for another network or quantizer."""
    require_codebook(model)
    return network_config(model) | {
        "_class_name": "VQModel",
        "latent_channels": model.quantizer.width,
        "vq_embed_dim": model.quantizer.width,
        "num_vq_embeddings": model.quantizer.size,
        "norm_type": "group",
    }


def require_codebook(model: Any) -> None:
    if not isinstance(model.quantizer, VectorQuantizer):
        raise UserError(f"its codes are those of a VectorQuantizer, and here is a {type(model.quantizer).__name__}")


def rows(model: Any) -> list[Row]:
    """The codebook too, which moving averages keep in the state.

    What a code is taken by is not in a file: every code starts with a count of 1, as its own only member.
    """
    require_codebook(model)
    found = half(model, "encoder", "encoder", "down") + half(model, "decoder", "decoder", "up")
    found += conv("encoder/quantize", "quant_conv") + conv("decoder/dequantize", "post_quant_conv")
    count = Row("state:quantizer/count", (), lambda: np.ones(model.quantizer.size, np.float32), lambda x: ())
    if model.quantizer.learn == "gradient":
        return [*found, count, plain("quantizer/embedding", CODEBOOK)]
    total = Row("state:quantizer/sum", (CODEBOOK,), lambda x: x, lambda x: ())
    return [*found, count, total, plain("state:quantizer/codebook", CODEBOOK)]


VQ_MODEL = Family(
    name="VQModel",
    style={},
    fields=fields,
    config=config,
    rows=rows,
    old=OLD,
    file="diffusion_pytorch_model.safetensors",
)
