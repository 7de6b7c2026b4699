"""`AutoencoderKL` of diffusers, Stable Diffusion's first stage, as parameters of a VAE with a SpatialAutoencoder."""

from collections.abc import Mapping

import numpy as np

from genjax.errors import UserError

__all__ = ["from_diffusers"]

Tree = dict[str, dict | np.ndarray]


def from_diffusers(tensors: Mapping[str, np.ndarray], likelihood: str = "gaussian") -> Tree:
    """The params {"encoder": ..., "decoder": {"network": ...}} of a VAE with the same widths and blocks, float32.

    Weights without quant_conv and post_quant_conv, such as Stable Diffusion 3's and Flux's, are those of
    SpatialAutoencoder(latent_convs=False).

    Args:
      tensors: name -> array, as in diffusion_pytorch_model.safetensors of a folder `vae`, such as
        "encoder.conv_in.weight". The attention's names of before diffusers 0.14 (query, key, value, proj_attn) are
        understood as well.
      likelihood: of the VAE. "gaussian" has a log_sigma, which only its loss reads and the file doesn't have: it gets
        the 0 of its initialization.

    Raises:
      UserError: a tensor is missing.
    """

    def get(name: str) -> np.ndarray:
        old = name.replace("to_out.0", "proj_attn").replace("to_q", "query").replace("to_k", "key")
        for known in (name, old.replace("to_v", "value")):
            if known in tensors:
                return np.asarray(tensors[known], np.float32)
        raise UserError(f"the autoencoder's weights lack the tensor '{name}': are they an AutoencoderKL of diffusers?")

    def conv(name: str) -> Tree:
        return {"kernel": get(f"{name}.weight").transpose(2, 3, 1, 0), "bias": get(f"{name}.bias")}

    def dense(name: str) -> Tree:
        weight = get(f"{name}.weight")
        return {"kernel": weight.reshape(weight.shape[:2]).T, "bias": get(f"{name}.bias")}  # 1x1 convolutions once

    def norm(name: str) -> Tree:
        return {"norm": {"scale": get(f"{name}.weight"), "bias": get(f"{name}.bias")}}

    def block(name: str) -> Tree:
        tree = {part: norm(f"{name}.{part}") for part in ("norm1", "norm2")}
        tree |= {part: conv(f"{name}.{part}") for part in ("conv1", "conv2")}
        return tree | ({"shortcut": conv(f"{name}.conv_shortcut")} if f"{name}.conv_shortcut.weight" in tensors else {})

    def middle(name: str) -> Tree:
        heads = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
        attention = {ours: dense(f"{name}.attentions.0.{theirs}") for ours, theirs in heads.items()}
        del attention["key"]["bias"]  # without effect: see nn.attend.Attend
        attention["norm"] = norm(f"{name}.attentions.0.group_norm")
        return {"attention": attention} | {f"block_{i}": block(f"{name}.resnets.{i}") for i in (0, 1)}

    def count(prefix: str) -> int:
        return 1 + max((int(n[len(prefix) :].split(".")[0]) for n in tensors if n.startswith(prefix)), default=-1)

    def half(side: str, path: str) -> Tree:
        levels = count(f"{side}.{path}_blocks.")
        tree = {part: conv(f"{side}.{part}") for part in ("conv_in", "conv_out")}
        tree |= {"norm_out": norm(f"{side}.conv_norm_out"), "middle": middle(f"{side}.mid_block")}
        for i in range(levels):
            stage = f"{side}.{path}_blocks.{i}"
            level = i if path == "down" else levels - 1 - i
            for j in range(count(f"{stage}.resnets.")):
                tree[f"level_{level}_block_{j}"] = block(f"{stage}.resnets.{j}")
            if i < levels - 1:  # we name a change of resolution by the finer-to-coarser number of its lower level
                lower = level + (path == "down")
                tree[f"{path}_{lower}"] = conv(f"{stage}.{path}samplers.0.conv")
        return tree

    encoder, decoder = half("encoder", "down"), half("decoder", "up")
    if any(name.startswith(("quant_conv.", "post_quant_conv.")) for name in tensors):
        encoder["quantize"], decoder["dequantize"] = conv("quant_conv"), conv("post_quant_conv")
    log_sigma = {"log_sigma": np.zeros((), np.float32)} if likelihood == "gaussian" else {}
    return {"encoder": encoder, "decoder": {"network": decoder, **log_sigma}}
