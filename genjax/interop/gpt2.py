"""GPT-2's published weights (Hugging Face's names, as in model.safetensors) as parameters of `GPT`."""

from collections.abc import Mapping

import numpy as np

from genjax.errors import UserError

__all__ = ["from_huggingface"]

Tree = dict[str, dict | np.ndarray]


def from_huggingface(tensors: Mapping[str, np.ndarray], heads: int, vocabulary_multiple: int = 128) -> Tree:
    """The params {"decoder": ...} of GPT(layers, heads, width) with its defaults otherwise, float32.

    Where the weights have a head of their own, the params have it too, and the model needs tied=False.

    Args:
      tensors: name -> array, such as "transformer.h.0.attn.c_attn.weight"; the first word may be missing.
        Linear layers are (in, out), GPT-2's own layout, but for "lm_head.weight" (vocabulary, width), which is the
        embedding once more, or absent, where the head is tied.
      heads: 12 (124M), 16 (355M), 20 (774M), 25 (1.5B).
      vocabulary_multiple: as in the model; the added rows are 0 and never drawn.

    Raises:
      UserError: a tensor is missing, or heads do not divide the width.
    """
    tensors = {name.removeprefix("transformer."): value for name, value in tensors.items()}

    def get(name: str) -> np.ndarray:
        if name not in tensors:
            raise UserError(f"GPT-2 weights lack the tensor '{name}': is this a GPT-2 checkpoint of Hugging Face?")
        return np.asarray(tensors[name], np.float32)

    layers = 1 + max((int(n.split(".")[1]) for n in tensors if n.startswith("h.")), default=0)

    def stack(name: str) -> np.ndarray:
        return np.stack([get(f"h.{layer}.{name}") for layer in range(layers)])

    def norm(read, name: str) -> Tree:
        return {"scale": read(f"{name}.weight"), "bias": read(f"{name}.bias")}

    def linear(name: str) -> Tree:
        return {"kernel": stack(f"{name}.weight"), "bias": stack(f"{name}.bias")}

    embedding = get("wte.weight")
    width = embedding.shape[1]
    if width % heads:
        raise UserError(f"{heads} heads do not divide the width {width} of these GPT-2 weights")
    size = width // heads

    # Columns of c_attn are (q, k, v) x heads x head size; ours are heads x (q, k, v) x head size.
    qkv, out = linear("attn.c_attn"), linear("attn.c_proj")
    qkv["kernel"] = qkv["kernel"].reshape(layers, width, 3, heads, size).swapaxes(2, 3)
    qkv["bias"] = qkv["bias"].reshape(layers, 3, heads, size).swapaxes(1, 2)
    out["kernel"] = out["kernel"].reshape(layers, heads, size, width)

    def padded(table: np.ndarray) -> np.ndarray:
        return np.pad(table, ((0, -len(table) % vocabulary_multiple), (0, 0)))

    decoder = {
        "embedding": padded(embedding),
        "positions": get("wpe.weight"),
        "blocks": {
            "attention_norm": norm(stack, "ln_1"),
            "attention": {"qkv": qkv, "out": out},
            "mlp_norm": norm(stack, "ln_2"),
            "mlp": {"up": linear("mlp.c_fc"), "down": linear("mlp.c_proj")},
        },
        "final_norm": norm(get, "ln_f"),
    }
    if "lm_head.weight" in tensors and not np.array_equal(head := get("lm_head.weight"), embedding):
        decoder["head"] = {"kernel": padded(head).T}
    return {"decoder": decoder}
