"""Rows of what transformers are made of. Matrices are (out, in) there, and (in, out) here, with heads apart."""

import numpy as np

from genjax.interop.family import Row, matrix, plain

__all__ = ["PLAIN", "cross_attention", "linear", "norm", "self_attention"]

PLAIN = {  # fields of our transformer that most of the others do not have
    "bottleneck": 0,
    "window": None,
    "qk_norm": False,
    "score_scale": None,
    "embedding_scale": 1.0,
    "logit_scale": 1.0,
    "logit_bias": False,
    "logit_softcap": 0.0,
}

Array = np.ndarray


def norm(ours: str, theirs: str, bias: bool) -> list[Row]:
    """A normalization's scale, and its bias where it has one."""
    return [plain(f"{ours}/scale", f"{theirs}.weight")] + [plain(f"{ours}/bias", f"{theirs}.bias")] * bias


def linear(ours: str, theirs: str, bias: bool) -> list[Row]:
    return [matrix(f"{ours}/kernel", f"{theirs}.weight")] + [plain(f"{ours}/bias", f"{theirs}.bias")] * bias


def self_attention(
    ours: str, theirs: tuple[str, str, str], out: str, *, heads: int, kv_heads: int, size: int, bias: bool
) -> list[Row]:
    """Queries, keys and values together in the layout "grouped", (D, K, H / K + 2, C), of three matrices."""
    group = heads // kv_heads

    def join(*parts: Array) -> Array:
        """Of matrices (out, in) or biases (out,)."""
        cut = [x.T.reshape(*x.T.shape[:-1], kv_heads, -1, size) for x in parts]
        return np.concatenate(cut, axis=-2)

    def split(x: Array) -> tuple[Array, ...]:
        parts = x[..., :group, :], x[..., group : group + 1, :], x[..., group + 1 :, :]
        return tuple(part.reshape(*x.shape[:-3], -1).T for part in parts)

    output = Row(
        f"{ours}/out/kernel",
        (f"{out}.weight",),
        lambda x: x.T.reshape(heads, size, -1),
        lambda x: (x.reshape(heads * size, -1).T,),
    )
    kinds = {"kernel": "weight"} | ({"bias": "bias"} if bias else {})
    qkv = [
        Row(f"{ours}/qkv/{mine}", tuple(f"{name}.{kind}" for name in theirs), join, split)
        for mine, kind in kinds.items()
    ]
    return [*qkv, output, *([plain(f"{ours}/out/bias", f"{out}.bias")] if bias else [])]


def cross_attention(ours: str, theirs: tuple[str, str, str], out: str, *, bias: bool) -> list[Row]:
    """In the layout "apart". A bias of keys changes nothing (see `nn.attend.Attend`): it is left out, and written 0."""
    query, key, value = theirs
    keys = matrix(f"{ours}/key/kernel", f"{key}.weight")
    if bias:
        keys = Row(keys.ours, (*keys.theirs, f"{key}.bias"), lambda x, b: x.T, lambda x: (x.T, np.zeros(x.shape[1])))
    outer = (("query", query), ("value", value), ("out", out))
    return [keys, *(row for mine, name in outer for row in linear(f"{ours}/{mine}", name, bias))]
