"""Recurrent layers: the cells of LSTM and GRU, and the loop over time.

All that does not wait for the step before is done outside of the loop: the product of the inputs with their weights
before it, the gradient of both matrices of weights after it. A step is one product of (B, H) with (H, G H), and what is
done number by number.

Shapes: B batch, T time, D features of the input, H width of the state, G gates, each H wide.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.dense import by_rows
from genjax.nn.sharding import BATCH, constrain

__all__ = ["CELLS", "Cell", "CellKind", "Recurrent", "empty_carry"]

Array = jax.Array
Carry = dict[str, Array]  # (B, H) float32 each; "h" is what the layer puts out
CellKind = Literal["lstm", "gru"]


def lstm(carry: Carry, x_BGH: Array, from_state_BGH: Array) -> Carry:
    """Hochreiter & Schmidhuber 1997, with forget gates (Gers et al. 2000); gates in PyTorch's order i, f, g, o."""
    halves_G1 = jnp.array([0.5, 0.5, 1.0, 0.5])[:, None]
    tanh_BGH = jnp.tanh((x_BGH + from_state_BGH) * halves_G1)
    i, f, o = (_sigmoid(tanh_BGH[:, gate]) for gate in (0, 1, 3))
    c_BH = f * carry["c"] + i * tanh_BGH[:, 2]
    return {"h": o * jnp.tanh(c_BH), "c": c_BH}


def gru(carry: Carry, x_BGH: Array, from_state_BGH: Array) -> Carry:
    """Cho et al. 2014 as cuDNN has it, the reset after the product; gates in PyTorch's order r, z, n."""
    tanh_B2H = jnp.tanh(0.5 * (x_BGH[:, :2] + from_state_BGH[:, :2]))
    r, z = (_sigmoid(tanh_B2H[:, gate]) for gate in (0, 1))
    n_BH = jnp.tanh(x_BGH[:, 2] + r * from_state_BGH[:, 2])
    return {"h": (1 - z) * n_BH + z * carry["h"]}


def _sigmoid(tanh_of_half: Array) -> Array:
    """From tanh(x / 2). One tanh over all gates takes XLA:CPU a fifth of the time of a sigmoid and a tanh by gate."""
    return 0.5 * tanh_of_half + 0.5


class Cell(NamedTuple):
    """`step(carry, x_BGH, from_state_BGH)` is the next carry, of the input's and the state's products with weights."""

    step: Callable[[Carry, Array, Array], Carry]
    gates: int
    carried: tuple[str, ...]


CELLS: dict[str, Cell] = {"lstm": Cell(lstm, 4, ("h", "c")), "gru": Cell(gru, 3, ("h",))}


def empty_carry(kind: CellKind, batch: int, width: int) -> Carry:
    """What a text begins with: zeros."""
    return {name: jnp.zeros((batch, width), jnp.float32) for name in CELLS[kind].carried}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_cell(kind: CellKind, x_TBGH: Array, w_HGH: Array, b_GH: Array, carry: Carry) -> tuple:
    """(T, B, H) float32 outputs, and the last carry. The product with the state is in the type of `w_HGH`."""
    (after_T, _), last = _forward(kind, x_TBGH, w_HGH, b_GH, carry)
    return after_T["h"], last


def _forward(kind: CellKind, x_TBGH: Array, w_HGH: Array, b_GH: Array, carry: Carry) -> tuple:
    w_HG = w_HGH.reshape(len(w_HGH), -1)

    def step(carry: Carry, x_BGH: Array):
        product_BG = carry["h"].astype(w_HG.dtype) @ w_HG
        from_state_BGH = product_BG.astype(jnp.float32).reshape(x_BGH.shape) + b_GH
        after = CELLS[kind].step(carry, x_BGH.astype(jnp.float32), from_state_BGH)
        return after, (after, from_state_BGH)

    last, out = jax.lax.scan(step, carry, x_TBGH)
    return out, last


def _saved(kind: CellKind, x_TBGH: Array, w_HGH: Array, b_GH: Array, carry: Carry) -> tuple:
    (after_T, from_state_TBGH), last = _forward(kind, x_TBGH, w_HGH, b_GH, carry)
    return (after_T["h"], last), (x_TBGH, w_HGH, carry, after_T, from_state_TBGH)


def _backward(kind: CellKind, saved: tuple, cotangent: tuple) -> tuple:
    """The loop goes back in time with the carry's gradient; the weights' own is one product over all times after it."""
    x_TBGH, w_HGH, carry, after_T, from_state_TBGH = saved
    dh_TBH, dlast = cotangent
    before_T = {name: jnp.concatenate([first[None], after_T[name][:-1]]) for name, first in carry.items()}
    w_GH = w_HGH.reshape(len(w_HGH), -1).T  # here, or XLA:CPU transposes it at every step

    def step(dcarry: Carry, at: tuple):
        before, x_BGH, from_state_BGH, dh_BH = at
        _, pull = jax.vjp(CELLS[kind].step, before, x_BGH.astype(jnp.float32), from_state_BGH)
        dbefore, dx_BGH, dstate_BGH = pull({**dcarry, "h": dcarry["h"] + dh_BH})
        dstate_BGH = dstate_BGH.astype(w_GH.dtype)
        back_BH = (dstate_BGH.reshape(len(dh_BH), -1) @ w_GH).astype(jnp.float32)
        return {**dbefore, "h": dbefore["h"] + back_BH}, (dx_BGH.astype(x_TBGH.dtype), dstate_BGH)

    dcarry, (dx_TBGH, dstate_TBGH) = jax.lax.scan(
        step, dlast, (before_T, x_TBGH, from_state_TBGH, dh_TBH), reverse=True
    )
    h_NH = before_T["h"].reshape(-1, len(w_HGH)).astype(w_HGH.dtype)
    dw = h_NH.T @ dstate_TBGH.reshape(len(h_NH), -1)
    db_GH = dstate_TBGH.astype(jnp.float32).sum((0, 1))
    return dx_TBGH, dw.reshape(w_HGH.shape), db_GH, dcarry


scan_cell.defvjp(_saved, _backward)


class Recurrent(nn.Module):
    """One layer over time: (B, T, D) and the carry before it to (B, T, H) float32 and the carry after it.

    `weight_dropout` leaves out weights from state to state, the same at all times and for all rows (Merity et al. 2018,
    section 2); with `train` it needs a "weights" rng. This noise belongs to the step: a mask for each example would
    need a matrix for each.
    """

    kind: CellKind
    width: int
    weight_dropout: float = 0.0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BTD: Array, carry: Carry, train: bool = False) -> tuple[Array, Carry]:
        gates, dtype = CELLS[self.kind].gates, jnp.dtype(self.dtype or jnp.float32)
        init = _uniform(self.width)
        kernel = self.param("kernel", init, (x_BTD.shape[-1], gates, self.width))
        bias_GH = self.param("bias", init, (gates, self.width))
        w_HGH = self.param("state_kernel", init, (self.width, gates, self.width))
        # The LSTM adds both of its biases to the same sum: one is enough.
        b_GH = self.param("state_bias", init, (gates, self.width)) if self.kind == "gru" else jnp.zeros_like(bias_GH)
        if self.weight_dropout and train:
            keep = jax.random.bernoulli(self.make_rng("weights"), 1 - self.weight_dropout, w_HGH.shape)
            w_HGH = jnp.where(keep, w_HGH / (1 - self.weight_dropout), 0.0)
        x_TBD = x_BTD.swapaxes(0, 1).astype(dtype)
        # Both matrices are gathered over fsdp once, before the loop; gates stay split over tensor.
        kernel, w_HGH = (constrain(w.astype(dtype), None, None, "tensor") for w in (kernel, w_HGH))
        x_TBGH = by_rows(x_TBD, kernel, (((2,), (0,)), ((), ()))) + bias_GH.astype(dtype)
        x_TBGH = constrain(x_TBGH, None, BATCH, None, "tensor")
        h_TBH, last = scan_cell(self.kind, x_TBGH, w_HGH, b_GH, carry)
        return h_TBH.swapaxes(0, 1), last


def _uniform(width: int) -> nn.initializers.Initializer:
    """U(-1 / sqrt(H), 1 / sqrt(H)), PyTorch's."""
    bound = width**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)
