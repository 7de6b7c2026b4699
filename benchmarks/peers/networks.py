"""Three networks as PyTorch users write them, with the layers of ours: GPT-2, DDPM's U-Net and DiT.

Sizes come from our configurations. Attention is `scaled_dot_product_attention`, which takes flash kernels in 16 bits.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["GPT2", "DiT", "UNet"]


def sinusoids(x_B, width: int):
    """(B, width) float32 cosines and sines of wavelengths from 2 pi to 20,000 pi."""
    frequency = torch.exp(-math.log(10000) / (width // 2) * torch.arange(width // 2, device=x_B.device))
    angle = x_B.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BTD):
        b, t, d = x_BTD.shape
        q, k, v = self.qkv(x_BTD).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


def mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))


class GPT2(nn.Module):
    """Radford et al. 2019, as nanoGPT writes it: ids (B, T) to logits (B, T, V), the table shared."""

    def __init__(self, vocabulary: int, context: int, layers: int, heads: int, width: int):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), Attention(width, heads, True), nn.LayerNorm(width), mlp(width)])
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens_BT):
        x = self.token(tokens_BT) + self.position.weight[: tokens_BT.shape[1]]
        for norm_1, attend, norm_2, feed in self.blocks:
            x = x + attend(norm_1(x))
            x = x + feed(norm_2(x))
        return F.linear(self.norm(x), self.token.weight)


class ResBlock(nn.Module):
    def __init__(self, inputs: int, features: int, condition: int, dropout: float):
        super().__init__()
        self.norm_in, self.norm_out = norm(inputs), norm(features)
        self.conv_in, self.conv_out = (nn.Conv2d(c, features, 3, padding=1) for c in (inputs, features))
        self.condition, self.dropout = nn.Linear(condition, features), nn.Dropout(dropout)
        self.skip = nn.Conv2d(inputs, features, 1) if inputs != features else nn.Identity()

    def forward(self, x, condition):
        y = self.conv_in(F.silu(self.norm_in(x))) + self.condition(F.silu(condition))[:, :, None, None]
        return self.skip(x) + self.conv_out(self.dropout(F.silu(self.norm_out(y))))


class PixelAttention(nn.Module):
    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.norm, self.attend = norm(channels), Attention(channels, heads)

    def forward(self, x):
        y = self.attend(self.norm(x).flatten(2).transpose(1, 2))
        return x + y.transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """Ho et al. 2020: noisy images (B, C, H, W) and noise levels (B,) to (B, C, H, W)."""

    def __init__(self, side: int, channels: int, base: int, multipliers, blocks: int, attention, heads: int, dropout):
        super().__init__()
        widths, self.base = [base * m for m in multipliers], base
        self.condition = nn.Sequential(nn.Linear(base, 4 * base), nn.SiLU(), nn.Linear(4 * base, 4 * base))
        self.first = nn.Conv2d(channels, base, 3, padding=1)

        def level_block(inputs: int, features: int, level: int) -> nn.ModuleList:
            attends = side // 2**level in attention
            attend = PixelAttention(features, heads) if attends else nn.Identity()
            return nn.ModuleList([ResBlock(inputs, features, 4 * base, dropout), attend])

        x, skips, last = base, [base], len(widths) - 1
        self.down, self.shrink, self.up, self.enlarge = (nn.ModuleList() for _ in range(4))
        for level, features in enumerate(widths):
            self.down.append(nn.ModuleList())
            for _ in range(blocks):
                self.down[-1].append(level_block(x, features, level))
                x = features
                skips.append(x)
            if level < last:
                self.shrink.append(nn.Conv2d(x, x, 3, stride=2, padding=1))
                skips.append(x)
        self.middle = nn.ModuleList([ResBlock(x, x, 4 * base, dropout) for _ in range(2)])
        self.middle_attention = PixelAttention(x, heads)
        for level, features in reversed(list(enumerate(widths))):
            self.up.append(nn.ModuleList())
            for _ in range(blocks + 1):
                self.up[-1].append(level_block(x + skips.pop(), features, level))
                x = features
            if level:
                self.enlarge.append(nn.Conv2d(x, x, 3, padding=1))
        self.norm, self.last = norm(x), nn.Conv2d(x, channels, 3, padding=1)

    def forward(self, x, noise_B):
        condition = self.condition(sinusoids(noise_B, self.base))
        x = self.first(x)
        skips = [x]
        for level, blocks in enumerate(self.down):
            for block, attend in blocks:
                x = attend(block(x, condition))
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
                skips.append(x)
        x = self.middle[0](x, condition)
        x = self.middle[1](self.middle_attention(x), condition)
        for level, blocks in enumerate(self.up):
            for block, attend in blocks:
                x = attend(block(torch.cat([x, skips.pop()], dim=1), condition))
            if level < len(self.enlarge):
                x = self.enlarge[level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(F.silu(self.norm(x)))


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, max(1, min(32, channels // 4))), channels, eps=1e-5)


class DiT(nn.Module):
    """Peebles & Xie 2022: images (B, C, H, W), noise levels and labels (B,) to (B, C, H, W)."""

    def __init__(self, side: int, channels: int, classes: int, patch: int, layers: int, heads: int, width: int):
        super().__init__()
        self.patch, tokens = patch, (side // patch) ** 2
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.register_buffer("position", torch.randn(1, tokens, width))
        self.noise = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Linear(width, 6 * width), Attention(width, heads), mlp(width)]) for _ in range(layers)
        )
        self.adapt, self.out = nn.Linear(width, 2 * width), nn.Linear(width, patch**2 * channels)

    def forward(self, x, noise_B, label_B):
        b, c, h, w = x.shape
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        condition = F.silu(self.noise(sinusoids(noise_B, 256)) + self.labels(label_B))
        for adapt, attend, feed in self.blocks:
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = adapt(condition)[:, None].chunk(6, dim=-1)
            x = x + gate * attend(plain_norm(x) * (1 + scale) + shift)
            x = x + gate_mlp * feed(plain_norm(x) * (1 + scale_mlp) + shift_mlp)
        shift, scale = self.adapt(condition)[:, None].chunk(2, dim=-1)
        y = self.out(plain_norm(x) * (1 + scale) + shift)
        p = self.patch
        return y.view(b, h // p, w // p, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)


def plain_norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)
