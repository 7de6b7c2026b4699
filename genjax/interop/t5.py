"""T5 of Hugging Face's transformers (`T5ForConditionalGeneration`, 1.0 and 1.1), as `Translation` and back."""

from collections.abc import Mapping
from typing import Any

from genjax.interop.blocks import PLAIN, cross_attention, linear, norm, self_attention
from genjax.interop.family import Family, Row, head, plain, table
from genjax.interop.settings import activation, fixed, flag, number, whole
from genjax.networks.transformer import Config

__all__ = ["T5"]

PAD, END = 0, 1  # as all of T5's vocabularies have them
FIXED = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}
FEEDS = {"relu": "relu", "gated-gelu": "geglu", "gated-silu": "swiglu"}


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """1.0 scales what the head reads, 1.1 does not: the files call that tied, whether the head is one or not."""
    layers, width = whole(config, "num_layers", 6), whole(config, "d_model", 512)
    fixed(config, FIXED | {"num_decoder_layers": layers})
    heads = whole(config, "num_heads", 8)
    scaled = flag(config, "scale_decoder_outputs", flag(config, "tie_word_embeddings", True))
    return {
        "layers": layers,
        "heads": heads,
        "kv_heads": heads,
        "head_size": whole(config, "d_kv", 64),
        "width": width,
        "hidden": whole(config, "d_ff", 2048),
        "vocabulary": whole(config, "vocab_size", 32128),
        "mlp": activation(config, "feed_forward_proj", "relu", FEEDS),
        "eps": number(config, "layer_norm_epsilon", 1e-6),
        "logit_scale": width**-0.5 if scaled else 1.0,
        "start": config.get("decoder_start_token_id", PAD),
        "end": config.get("eos_token_id", END),
    }


def config(model: Any, end: int | None) -> dict[str, Any]:
    feeds = {ours: name for name, ours in FEEDS.items()}
    return FIXED | {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "num_layers": model.layers,
        "num_decoder_layers": model.layers,
        "num_heads": model.heads,
        "d_kv": model.size,
        "d_model": model.width,
        "d_ff": model.hidden or 4 * model.width,
        "vocab_size": model.vocabulary,
        "feed_forward_proj": feeds.get(model.mlp),
        "layer_norm_epsilon": model.eps,
        "tie_word_embeddings": model.logit_scale != 1.0,
        "dropout_rate": model.dropout,
        "decoder_start_token_id": model.begin,
        "pad_token_id": model.begin,
        "eos_token_id": model.end,
    }


def rows(model: Config) -> list[Row]:
    heads = {"heads": model.heads, "kv_heads": model.heads, "size": model.size}
    ups = {"gate": "wi_0", "up": "wi_1"} if model.mlp in ("geglu", "swiglu") else {"up": "wi"}

    def half(name: str, feed: int) -> list[Row]:
        at, layer = f"translator/{name}/blocks", f"{name}.block.{{}}.layer"
        own = f"{layer}.0.SelfAttention"
        bias = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        return [
            plain(f"translator/{name}/relative/embedding", bias),
            *norm(f"{at}/attention_norm", f"{layer}.0.layer_norm", bias=False),
            *self_attention(f"{at}/attention", tuple(f"{own}.{x}" for x in "qkv"), f"{own}.o", bias=False, **heads),
            *norm(f"{at}/mlp_norm", f"{layer}.{feed}.layer_norm", bias=False),
            *(
                row
                for ours, theirs in (ups | {"down": "wo"}).items()
                for row in linear(f"{at}/mlp/{ours}", f"{layer}.{feed}.DenseReluDense.{theirs}", bias=False)
            ),
            *norm(f"translator/{name}/final_norm", f"{name}.final_layer_norm", bias=False),
        ]

    at, layer = "translator/decoder/blocks", "decoder.block.{}.layer.1"
    cross = f"{layer}.EncDecAttention"
    found = [
        table("translator/embedding", "shared.weight", model.vocabulary, model.vocabulary_multiple),
        *half("encoder", 1),
        *half("decoder", 2),
        *norm(f"{at}/memory_norm", f"{layer}.layer_norm", bias=False),
        *cross_attention(f"{at}/memory", tuple(f"{cross}.{x}" for x in "qkv"), f"{cross}.o", bias=False),
    ]
    if not model.tied:
        place = "translator/decoder/head/kernel"
        found.append(head(place, "lm_head.weight", model.vocabulary, model.vocabulary_multiple))
    return found


def aliases(model: Config) -> dict[str, str]:
    copies = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] + ["lm_head.weight"] * model.tied
    return dict.fromkeys(copies, "shared.weight")


T5 = Family(
    name="t5",
    style=PLAIN | {"positions": "relative", "norm": "rms", "order": "pre", "bias": False, "score_scale": 1.0},
    fields=fields,
    config=config,
    rows=rows,
    aliases=aliases,
)
