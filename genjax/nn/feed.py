"""The part of a transformer's block that treats each position by itself."""

from typing import Literal

import flax.linen as nn
import jax

from genjax.nn.dense import Dense

__all__ = ["Activation", "Feed"]

Array = jax.Array
Activation = Literal["gelu", "gelu_exact", "quick_gelu", "relu", "silu", "swiglu", "geglu"]

PLAIN = {
    "gelu": lambda x: nn.gelu(x, approximate=True),  # GPT-2's, by tanh
    "gelu_exact": lambda x: nn.gelu(x, approximate=False),  # BERT's
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),  # CLIP's
    "relu": nn.relu,
    "silu": nn.silu,
}
GATED = {"swiglu": nn.silu, "geglu": PLAIN["gelu"]}  # Shazeer 2020 (arXiv:2002.05202), equation 6


class Feed(nn.Module):
    """Two layers with an activation between them, or three of which one is a gate: (B, T, D) -> (B, T, D)."""

    hidden: int
    activation: Activation = "gelu"
    bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    out_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BTD: Array) -> Array:
        dense = {"use_bias": self.bias, "dtype": self.dtype}
        h_BTF = Dense(self.hidden, kernel_init=self.kernel_init, name="up", **dense)(x_BTD)
        if self.activation in GATED:
            gate_BTF = Dense(self.hidden, kernel_init=self.kernel_init, name="gate", **dense)(x_BTD)
            h_BTF = h_BTF * GATED[self.activation](gate_BTF)
        else:
            h_BTF = PLAIN[self.activation](h_BTF)
        return Dense(x_BTD.shape[-1], kernel_init=self.out_init, name="down", **dense)(h_BTF)
