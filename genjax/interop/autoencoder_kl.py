"""`AutoencoderKL` of diffusers, Stable Diffusion's first stage, as a VAE with a SpatialAutoencoder, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.interop.autoencoder import OLD, conv, half, network_config, network_fields
from genjax.interop.family import Family, Row
from genjax.interop.settings import fixed, flag, whole

__all__ = ["AUTOENCODER_KL"]


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    convs = flag(config, "use_quant_conv", True)
    fixed(config, {"use_post_quant_conv": convs})
    return {"latent": whole(config, "latent_channels", 4), "network": network_fields(config, convs)}


def config(model: Any, end: int | None) -> dict[str, Any]:
    """Raises UserError for another network, and for pixels that are logits."""
    if model.likelihood == "bernoulli":
        raise UserError("its likelihood is gaussian, mse or l1, not bernoulli")
    return network_config(model) | {
        "_class_name": "AutoencoderKL",
        "latent_channels": model.latent,
        "use_quant_conv": model.network.latent_convs,
        "use_post_quant_conv": model.network.latent_convs,
    }


def rows(model: Any) -> list[Row]:
    """A Gaussian likelihood has a log_sigma, which only its loss reads and a file doesn't have: 0, as it starts."""
    found = half(model, "encoder", "encoder", "down") + half(model, "decoder", "decoder/network", "up")
    if model.network.latent_convs:
        found += conv("encoder/quantize", "quant_conv") + conv("decoder/network/dequantize", "post_quant_conv")
    if model.likelihood == "gaussian":
        found.append(Row("decoder/log_sigma", (), lambda: np.zeros((), np.float32), lambda x: ()))
    return found


AUTOENCODER_KL = Family(
    name="AutoencoderKL",
    style={"conditional": False},
    fields=fields,
    config=config,
    rows=rows,
    old=OLD,
    file="diffusion_pytorch_model.safetensors",
)
