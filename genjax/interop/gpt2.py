"""GPT-2 of Hugging Face's transformers (`GPT2LMHeadModel`), as `GPT` and back."""

from collections.abc import Mapping
from typing import Any

from genjax.interop.blocks import PLAIN, norm
from genjax.interop.family import Family, Row, head, plain, table
from genjax.interop.settings import activation, activation_name, fixed, flag, number, whole
from genjax.networks.transformer import Config

__all__ = ["GPT2"]

FIXED = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    fixed(config, FIXED)
    width, heads = whole(config, "n_embd", 768), whole(config, "n_head", 12)
    return {
        "layers": whole(config, "n_layer", 12),
        "heads": heads,
        "kv_heads": heads,
        "head_size": width // heads,
        "width": width,
        "hidden": whole({"n_inner": config.get("n_inner") or 4 * width}, "n_inner"),
        "context": whole(config, "n_positions", 1024),
        "vocabulary": whole(config, "vocab_size", 50257),
        "mlp": activation(config, "activation_function", "gelu_new"),
        "eps": number(config, "layer_norm_epsilon", 1e-5),
        "tied": flag(config, "tie_word_embeddings", True),
    }


def config(model: Config, end: int | None) -> dict[str, Any]:
    return FIXED | {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": model.layers,
        "n_head": model.heads,
        "n_embd": model.width,
        "n_inner": model.hidden,
        "n_positions": model.context,
        "vocab_size": model.vocabulary,
        "activation_function": activation_name(model.mlp),
        "layer_norm_epsilon": model.eps,
        "tie_word_embeddings": model.tied,
        "bos_token_id": end,
        "eos_token_id": end,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop"), model.dropout),
        "attn_pdrop": 0.0,
    }


def rows(model: Config) -> list[Row]:
    """Their layers are Conv1D, (in, out) as ours, but for the head; columns of c_attn are (q, k, v) x heads x size."""
    heads, size, width = model.heads, model.size, model.width
    at, block = "decoder/blocks", "transformer.h.{}"

    def conv(ours: str, theirs: str) -> list[Row]:
        return [plain(f"{ours}/kernel", f"{theirs}.weight"), plain(f"{ours}/bias", f"{theirs}.bias")]

    found = [
        table("decoder/embedding", "transformer.wte.weight", model.vocabulary, model.vocabulary_multiple),
        plain("decoder/positions", "transformer.wpe.weight"),
        *norm(f"{at}/attention_norm", f"{block}.ln_1", bias=True),
        Row(
            f"{at}/attention/qkv/kernel",
            (f"{block}.attn.c_attn.weight",),
            lambda x: x.reshape(width, 3, heads, size).swapaxes(1, 2),
            lambda x: (x.swapaxes(1, 2).reshape(width, -1),),
        ),
        Row(
            f"{at}/attention/qkv/bias",
            (f"{block}.attn.c_attn.bias",),
            lambda x: x.reshape(3, heads, size).swapaxes(0, 1),
            lambda x: (x.swapaxes(0, 1).reshape(-1),),
        ),
        Row(
            f"{at}/attention/out/kernel",
            (f"{block}.attn.c_proj.weight",),
            lambda x: x.reshape(heads, size, width),
            lambda x: (x.reshape(-1, width),),
        ),
        plain(f"{at}/attention/out/bias", f"{block}.attn.c_proj.bias"),
        *norm(f"{at}/mlp_norm", f"{block}.ln_2", bias=True),
        *conv(f"{at}/mlp/up", f"{block}.mlp.c_fc"),
        *conv(f"{at}/mlp/down", f"{block}.mlp.c_proj"),
        *norm("decoder/final_norm", "transformer.ln_f", bias=True),
    ]
    if not model.tied:
        found.append(head("decoder/head/kernel", "lm_head.weight", model.vocabulary, model.vocabulary_multiple))
    return found


GPT2 = Family(
    name="gpt2",
    style=PLAIN | {"positions": "learned", "norm": "layer", "order": "pre", "bias": True},
    fields=fields,
    config=config,
    rows=rows,
    aliases=lambda model: {"lm_head.weight": "transformer.wte.weight"} if model.tied else {},
    unread=r"h\.\d+\.attn\.(masked_)?bias$",
    prefix="transformer.",
)
