"""Llama of Hugging Face's transformers (`LlamaForCausalLM`), as `GPT` and back."""

from collections.abc import Mapping
from typing import Any

from genjax.errors import UserError
from genjax.interop.blocks import PLAIN, linear, norm, self_attention
from genjax.interop.family import Family, Row, head, table
from genjax.interop.settings import fixed, flag, number, whole
from genjax.networks.transformer import Config

__all__ = ["LLAMA"]

FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    fixed(config, FIXED)
    heads, width = whole(config, "num_attention_heads", 32), whole(config, "hidden_size", 4096)
    return {
        "layers": whole(config, "num_hidden_layers", 32),
        "heads": heads,
        "kv_heads": whole({"num_key_value_heads": config.get("num_key_value_heads") or heads}, "num_key_value_heads"),
        "head_size": whole({"head_dim": config.get("head_dim") or width // heads}, "head_dim"),
        "width": width,
        "hidden": whole(config, "intermediate_size", 11008),
        "context": whole(config, "max_position_embeddings", 2048),
        "vocabulary": whole(config, "vocab_size", 32000),
        "eps": number(config, "rms_norm_eps", 1e-6),
        "rope_base": _rope_base(config),
        "tied": flag(config, "tie_word_embeddings", False),
    }


def _rope_base(config: Mapping[str, Any]) -> float:
    """Where transformers writes it, in one place before version 5 and in another since."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(scaling, dict) or scaling.get("rope_type", scaling.get("type", "default")) != "default":
        raise UserError(f"its rope_parameters are {str(scaling)[:60]}, and genjax has only those of type default")
    return number({"rope_theta": 10000.0} | dict(config) | scaling, "rope_theta")


def config(model: Config, end: int | None) -> dict[str, Any]:
    return FIXED | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads or model.heads,
        "head_dim": model.size,
        "hidden_size": model.width,
        "intermediate_size": model.hidden or 4 * model.width,
        "max_position_embeddings": model.context,
        "vocab_size": model.vocabulary,
        "rms_norm_eps": model.eps,
        "rope_theta": model.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_base},
        "tie_word_embeddings": model.tied,
        "bos_token_id": end,
        "eos_token_id": end,
    }


def rows(model: Config) -> list[Row]:
    at, block = "decoder/blocks", "model.layers.{}"
    heads = {"heads": model.heads, "kv_heads": model.kv_heads or model.heads, "size": model.size}
    projections = tuple(f"{block}.self_attn.{name}_proj" for name in "qkv")
    found = [
        table("decoder/embedding", "model.embed_tokens.weight", model.vocabulary, model.vocabulary_multiple),
        *norm(f"{at}/attention_norm", f"{block}.input_layernorm", bias=False),
        *self_attention(f"{at}/attention", projections, f"{block}.self_attn.o_proj", bias=False, **heads),
        *norm(f"{at}/mlp_norm", f"{block}.post_attention_layernorm", bias=False),
        *linear(f"{at}/mlp/gate", f"{block}.mlp.gate_proj", bias=False),
        *linear(f"{at}/mlp/up", f"{block}.mlp.up_proj", bias=False),
        *linear(f"{at}/mlp/down", f"{block}.mlp.down_proj", bias=False),
        *norm("decoder/final_norm", "model.norm", bias=False),
    ]
    if not model.tied:
        found.append(head("decoder/head/kernel", "lm_head.weight", model.vocabulary, model.vocabulary_multiple))
    return found


LLAMA = Family(
    name="llama",
    style=PLAIN | {"positions": "rope", "norm": "rms", "order": "pre", "mlp": "swiglu", "bias": False},
    fields=fields,
    config=config,
    rows=rows,
    aliases=lambda model: {"lm_head.weight": "model.embed_tokens.weight"} if model.tied else {},
    unread=r"rotary_emb\.inv_freq$",
)
