"""EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946; the Lite variants of 2020): no squeeze, ReLU6 throughout.

Modules are named as in the PyTorch port whose weights are around.
"""

import flax.linen as nn
import jax

from genjax.nn.frozen import FrozenBatchNorm

__all__ = ["SIZE", "EfficientNetLite0"]

Array = jax.Array
SIZE = 224  # pixels a side that it was trained on

# (repeats, kernel, stride of the first, expansion, features)
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Block(nn.Module):
    """Inverted residual block (Sandler et al. 2018): expand, convolve each channel, project."""

    kernel: int
    stride: int
    expansion: int
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y, wide = x, x.shape[-1] * self.expansion
        if self.expansion > 1:
            y = nn.relu6(FrozenBatchNorm(name="_bn0")(nn.Conv(wide, (1, 1), use_bias=False, name="_expand_conv")(y)))
        kernel, strides = (self.kernel,) * 2, (self.stride,) * 2
        y = nn.Conv(wide, kernel, strides, use_bias=False, feature_group_count=wide, name="_depthwise_conv")(y)
        y = nn.relu6(FrozenBatchNorm(name="_bn1")(y))
        y = FrozenBatchNorm(name="_bn2")(nn.Conv(self.features, (1, 1), use_bias=False, name="_project_conv")(y))
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """(B, 224, 224, 3) in about [-1, 1] -> (features (B, 1280), logits (B, 1000) of ImageNet's classes).

    With `layers`, a list of what each stage puts out (B, h, w, D), of pictures of any size.
    """

    @nn.compact
    def __call__(self, x: Array, *, layers: bool = False):
        x = nn.relu6(FrozenBatchNorm(name="_bn0")(nn.Conv(32, (3, 3), (2, 2), use_bias=False, name="_conv_stem")(x)))
        number, hidden = 0, [x]
        for repeats, kernel, stride, expansion, features in STAGES:
            for first in (True, *[False] * (repeats - 1)):
                x = Block(kernel, stride if first else 1, expansion, features, name=f"_blocks.{number}")(x)
                number += 1
            hidden.append(x)
        if layers:
            return hidden
        x = nn.relu6(FrozenBatchNorm(name="_bn1")(nn.Conv(1280, (1, 1), use_bias=False, name="_conv_head")(x)))
        features_BF = x.mean((1, 2))
        return features_BF, nn.Dense(1000, name="_fc")(features_BF)
