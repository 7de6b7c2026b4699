"""Which matrix an array of weights stands for."""

import re
from typing import NamedTuple

__all__ = ["Matrix", "matrix"]

STACKED = re.compile(r"(^|/)blocks/")  # one block's weights after another, see `nn.stack`
# Heads of attention, shifts and scales of DiT, gates of recurrent layers: (in, out ...). All others are (in ..., out).
PARTS = re.compile(r"(^|/)(qkv|adapt|layer_\d+)/(state_)?kernel$")


class Matrix(NamedTuple):
    """The axes of an array that are the blocks of a stack, and those that are the inputs and the outputs."""

    stack: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def matrix(path: str, shape: tuple[int, ...]) -> Matrix | None:
    """Of the array at `path`, parts joined with "/"; None where it is no kernel of a linear map.

    A convolution's (height, width, in, out) is (height width in, out).
    """
    stack = int(bool(STACKED.search(path)))
    if not path.endswith("kernel") or len(shape) - stack < 2:
        return None
    at = stack + 1 if PARTS.search(path) else len(shape) - 1
    axes = tuple(range(len(shape)))
    return Matrix(axes[:stack], axes[stack:at], axes[at:])
