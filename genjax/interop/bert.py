"""BERT of Hugging Face's transformers, as `BERT` and back; and its encoder alone, for classifiers to start from.

`BertForMaskedLM`, `BertForPreTraining` with next_sentence=True, `BertModel` with part="encoder".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.interop.blocks import PLAIN, linear, norm, self_attention
from genjax.interop.family import Family, Row, plain, table
from genjax.interop.settings import activation, activation_name, fixed, number, whole

__all__ = ["BERT_ENCODER", "BERT_FAMILY"]

KINDS = {"type_vocab_size": 2, "position_embedding_type": "absolute", "is_decoder": False}
PARTS = {  # architecture -> fields of ours
    "BertForMaskedLM": {"part": "all", "next_sentence": False},
    "BertForPreTraining": {"part": "all", "next_sentence": True},
    "BertModel": {"part": "encoder", "next_sentence": False},
}
TABLE = "bert.embeddings.word_embeddings.weight"


def encoder_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    fixed(config, KINDS)
    width, heads = whole(config, "hidden_size", 768), whole(config, "num_attention_heads", 12)
    return {
        "layers": whole(config, "num_hidden_layers", 12),
        "heads": heads,
        "kv_heads": heads,
        "head_size": width // heads,
        "width": width,
        "hidden": whole(config, "intermediate_size", 3072),
        "context": whole(config, "max_position_embeddings", 512),
        "vocabulary": whole(config, "vocab_size", 30522),
        "mlp": activation(config, "hidden_act", "gelu"),
        "eps": number(config, "layer_norm_eps", 1e-12),
    }


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    named = config.get("architectures") or ["BertModel"]
    if not isinstance(named, list) or not isinstance(named[0], str) or named[0] not in PARTS:
        raise UserError(f"its architectures are {str(named)[:40]}, and genjax has {', '.join(PARTS)}")
    return encoder_fields(config) | PARTS[named[0]]


def config(model: Any, end: int | None) -> dict[str, Any]:
    part = {"part": model.part, "next_sentence": model.next_sentence}
    return KINDS | {
        "model_type": "bert",
        "architectures": [next((name for name, own in PARTS.items() if own == part), "BertModel")],
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "hidden_size": model.width,
        "intermediate_size": model.hidden or 4 * model.width,
        "max_position_embeddings": model.context,
        "vocab_size": model.vocabulary,
        "hidden_act": activation_name(model.mlp),
        "layer_norm_eps": model.eps,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    }


def encoder_rows(model: Any) -> list[Row]:
    at, layer, embeddings = "encoder/blocks", "bert.encoder.layer.{}", "bert.embeddings"
    names = tuple(f"{layer}.attention.self.{name}" for name in ("query", "key", "value"))
    heads = {"heads": model.heads, "kv_heads": model.heads, "size": model.size}
    return [
        table("encoder/embedding", TABLE, model.vocabulary, model.vocabulary_multiple),
        plain("encoder/positions", f"{embeddings}.position_embeddings.weight"),
        plain("encoder/kinds", f"{embeddings}.token_type_embeddings.weight"),
        *norm("encoder/embedding_norm", f"{embeddings}.LayerNorm", bias=True),
        *self_attention(f"{at}/attention", names, f"{layer}.attention.output.dense", bias=True, **heads),
        *norm(f"{at}/attention_norm", f"{layer}.attention.output.LayerNorm", bias=True),
        *linear(f"{at}/mlp/up", f"{layer}.intermediate.dense", bias=True),
        *linear(f"{at}/mlp/down", f"{layer}.output.dense", bias=True),
        *norm(f"{at}/mlp_norm", f"{layer}.output.LayerNorm", bias=True),
    ]


def rows(model: Any) -> list[Row]:
    found = encoder_rows(model)
    if model.part == "all":
        found += linear("head/dense", "cls.predictions.transform.dense", bias=True)
        found += norm("head/norm", "cls.predictions.transform.LayerNorm", bias=True)
        fill = (0, -model.vocabulary % model.vocabulary_multiple)
        bias = (lambda x: np.pad(x, fill)), (lambda x: (x[: model.vocabulary],))
        found.append(Row("head/bias", ("cls.predictions.bias",), *bias))
    if model.part == "encoder" or model.next_sentence:
        found += linear("pooler/dense", "bert.pooler.dense", bias=True)
    if model.next_sentence:
        found += linear("pooler/out", "cls.seq_relationship", bias=True)
    return found


STYLE = PLAIN | {"positions": "learned", "norm": "layer", "order": "post", "embedding_norm": True, "bias": True}
OLD = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
COPIES = {"cls.predictions.decoder.weight": TABLE, "cls.predictions.decoder.bias": "cls.predictions.bias"}

BERT_FAMILY = Family(
    name="bert",
    style=STYLE,
    fields=fields,
    config=config,
    rows=rows,
    aliases=lambda model: COPIES if model.part == "all" else {},
    unread=r"position_ids$",
    prefix="bert.",
    old=OLD,
)


def _no_equal(model: Any, end: int | None) -> dict[str, Any]:
    raise UserError("its classifiers pool otherwise")


BERT_ENCODER = BERT_FAMILY._replace(
    style=STYLE | {"kinds": 2},
    fields=encoder_fields,
    config=_no_equal,
    rows=encoder_rows,
    aliases=lambda model: {},
    unread=r"position_ids$|^(bert\.)?pooler\.|^cls\.|^classifier\.",
)
