"""A stack of equal blocks as one scanned block, its parameters stored with a leading L."""

from typing import Literal

import flax.linen as nn
import jax

__all__ = ["REMAT_POLICIES", "UNROLLED_LAYERS", "Remat", "stacked", "unroll_on"]

Remat = Literal["none", "dots", "full"]

REMAT_POLICIES = {  # what the forward pass keeps of a block for the backward pass
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # outputs of the dense layers
    "full": jax.checkpoint_policies.nothing_saveable,  # its input only
}

UNROLLED_LAYERS = 12  # on CPU and GPU, where a loop costs more than compiling this many copies of the block


def stacked(block: type[nn.Module], *, layers: int, remat: Remat = "none", unroll: int = 1) -> type[nn.Module]:
    """The module of `layers` blocks: takes the block's fields, and is called as `stack(carry, arange(L), shared)`.

    Args:
      block: called as `block(carry, layer, shared) -> (carry, None)`: `carry` goes from block to block, `layer` is the
        block's number, `shared` a pytree that all blocks see.
      remat: what the backward pass computes again; see REMAT_POLICIES.
      unroll: copies of the block in one turn of the loop.
    """
    if remat != "none":
        # A loop keeps XLA from merging recomputation and forward pass; without one, that must be forbidden.
        block = nn.remat(block, policy=REMAT_POLICIES[remat], prevent_cse=unroll > 1 or layers == 1)
    return nn.scan(
        block,
        variable_axes={"params": 0, "maps": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=(0, nn.broadcast),
        length=layers,
        unroll=min(unroll, layers),
    )


def unroll_on(platform: str, layers: int) -> int:
    """The `unroll` that suits "cpu", "gpu" or "tpu"."""
    return layers if platform in ("cpu", "gpu") and layers <= UNROLLED_LAYERS else 1
