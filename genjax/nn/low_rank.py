"""Weights with a change of low rank (LoRA, Hu et al. 2021, arXiv:2106.09685)."""

import math
import re
from typing import Any

import flax.linen as nn
import flax.traverse_util

from genjax.nn.matrices import matrix

__all__ = ["LowRank"]


class LowRank(nn.Module):
    """The parameters of a network -> the same with W + alpha / rank A B for each matrix W (section 4.1).

    A (in, rank) starts normal with variance 1 / in, B (rank, out) at 0: the first weights are those that came in.
    `genjax.nn.matrices` says which matrix an array stands for; stacked blocks have an A and a B each.
    """

    rank: int
    alpha: float
    targets: str  # regular expression on the path of a kernel, parts joined with "/"

    @nn.compact
    def __call__(self, params: Any) -> Any:
        flat = flax.traverse_util.flatten_dict(params, sep="/")
        for path, w in flat.items():
            axes = matrix(path, w.shape)
            if axes is None or not re.search(self.targets, path):
                continue
            stack, inputs, outputs = (tuple(w.shape[axis] for axis in part) for part in axes)
            name, start = path.replace("/", "."), nn.initializers.normal(math.prod(inputs) ** -0.5)
            a = self.param(f"{name}.a", start, (*stack, math.prod(inputs), self.rank))
            b = self.param(f"{name}.b", nn.initializers.zeros, (*stack, self.rank, math.prod(outputs)))
            flat[path] = w + self.alpha / self.rank * (a @ b).reshape(w.shape)
        return flax.traverse_util.unflatten_dict(flat, sep="/")
