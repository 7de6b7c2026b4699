"""Marian of Hugging Face's transformers (`MarianMTModel`), as `Translation` with the paper's own choices, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.interop.blocks import PLAIN, cross_attention, linear, norm, self_attention
from genjax.interop.family import Family, Row, table
from genjax.interop.settings import ACTIVATIONS, activation, activation_name, fixed, flag, whole
from genjax.networks.transformer import Config

__all__ = ["MARIAN"]

FIXED = {"share_encoder_decoder_embeddings": True, "tie_word_embeddings": True}
OLD = {"normalize_before": False, "normalize_embedding": False, "add_final_layer_norm": False}  # of files before 4.0
SWISH = ACTIVATIONS | {"swish": "silu", "silu": "silu"}


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    layers, heads = whole(config, "encoder_layers", 12), whole(config, "encoder_attention_heads", 16)
    hidden, width = whole(config, "encoder_ffn_dim", 4096), whole(config, "d_model", 1024)
    vocabulary = whole(config, "vocab_size", 58101)
    decoder = {"decoder_layers": layers, "decoder_attention_heads": heads, "decoder_ffn_dim": hidden}
    fixed(config, FIXED | OLD | decoder)
    fixed({"decoder_vocab_size": config.get("decoder_vocab_size") or vocabulary}, {"decoder_vocab_size": vocabulary})
    return {
        "layers": layers,
        "heads": heads,
        "kv_heads": heads,
        "head_size": width // heads,
        "width": width,
        "hidden": hidden,
        "vocabulary": vocabulary,
        "mlp": activation(config, "activation_function", "gelu", SWISH),
        "embedding_scale": width**0.5 if flag(config, "scale_embedding", False) else 1.0,
        "start": config.get("decoder_start_token_id", 58100),
        "end": config.get("eos_token_id", 0),
    }


def config(model: Any, end: int | None) -> dict[str, Any]:
    halves = {
        "layers": model.layers,
        "attention_heads": model.heads,
        "ffn_dim": model.hidden or 4 * model.width,
    }
    return (
        FIXED
        | {f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in halves.items()}
        | {
            "model_type": "marian",
            "architectures": ["MarianMTModel"],
            "is_encoder_decoder": True,
            "d_model": model.width,
            "vocab_size": model.vocabulary,
            "decoder_vocab_size": model.vocabulary,
            "max_position_embeddings": model.context,
            "activation_function": "silu" if model.mlp == "silu" else activation_name(model.mlp),
            "scale_embedding": model.embedding_scale != 1.0,
            "dropout": model.dropout,
            "decoder_start_token_id": model.begin,
            "pad_token_id": model.begin,
            "eos_token_id": model.end,
            "forced_eos_token_id": None,
        }
    )


def rows(model: Config) -> list[Row]:
    heads = {"heads": model.heads, "kv_heads": model.heads, "size": model.size}

    def projections(name: str) -> tuple[tuple[str, str, str], str]:
        return tuple(f"{name}.{x}_proj" for x in "qkv"), f"{name}.out_proj"

    def half(name: str) -> list[Row]:
        at, layer = f"translator/{name}/blocks", f"model.{name}.layers.{{}}"
        return [
            *self_attention(f"{at}/attention", *projections(f"{layer}.self_attn"), bias=True, **heads),
            *norm(f"{at}/attention_norm", f"{layer}.self_attn_layer_norm", bias=True),
            *linear(f"{at}/mlp/up", f"{layer}.fc1", bias=True),
            *linear(f"{at}/mlp/down", f"{layer}.fc2", bias=True),
            *norm(f"{at}/mlp_norm", f"{layer}.final_layer_norm", bias=True),
        ]

    at, layer = "translator/decoder/blocks", "model.decoder.layers.{}"
    sizes = model.vocabulary, model.vocabulary_multiple
    return [
        table("translator/embedding", "model.shared.weight", *sizes),
        *half("encoder"),
        *half("decoder"),
        *cross_attention(f"{at}/memory", *projections(f"{layer}.encoder_attn"), bias=True),
        *norm(f"{at}/memory_norm", f"{layer}.encoder_attn_layer_norm", bias=True),
        logit_bias("translator/decoder/logit_bias", "final_logits_bias", *sizes),
    ]


def logit_bias(ours: str, theirs: str, rows: int, multiple: int) -> Row:
    """(V,), of more ids here; (1, V) there."""
    return Row(ours, (theirs,), lambda x: np.pad(x[0], (0, -x.shape[1] % multiple)), lambda x: (x[None, :rows],))


COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")

MARIAN = Family(
    name="marian",
    style=PLAIN
    | {"positions": "sinusoidal", "norm": "layer", "order": "post", "embedding_norm": False, "bias": True}
    | {"tied": True, "logit_bias": True, "eps": 1e-5},
    fields=fields,
    config=config,
    rows=rows,
    aliases=lambda model: dict.fromkeys(COPIES, "model.shared.weight"),
    unread=r"embed_positions\.weight$",
)
