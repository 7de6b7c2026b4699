"""What the PyTorch peers of GANs share: DCGAN's networks with our layers, resampling, gradients, starts, images."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Judge", "downsample", "generator", "images", "initialize", "seeded", "squared_gradient", "upsample"]


def generator(latent: int, width: int, side: int = 28) -> nn.Sequential:
    """Latents (B, latent) to grey images (B, 1, side, side); convolutions with pixel shuffles, as ours."""
    grid = side // 4
    return nn.Sequential(
        nn.Linear(latent, 2 * width * grid**2, bias=False),
        nn.Unflatten(1, (2 * width, grid, grid)),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False),
        nn.PixelShuffle(2),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 4, 3, padding=1),
        nn.PixelShuffle(2),
        nn.Tanh(),
    )


class Judge(nn.Module):
    """Grey images to (logits (B,), features (B, F)), those of the last hidden layer."""

    def __init__(self, width: int, side: int = 28):
        super().__init__()
        self.features = 2 * width * (side // 4) ** 2
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.logit = nn.Linear(self.features, 1)

    def forward(self, image):
        h = self.trunk(image)
        return self.logit(h)[:, 0], h


def resampled(function, x_BCHW, scale: float):
    """Filters with [1, 3, 3, 1] in both directions. Channels are images: in groups, second derivatives take seconds."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x_BCHW.device, dtype=x_BCHW.dtype) / 8
    y = function(x_BCHW.flatten(0, 1)[:, None], scale * torch.outer(line, line)[None, None], stride=2, padding=1)
    return y.unflatten(0, x_BCHW.shape[:2])[:, :, 0]


def upsample(x_BCHW):
    return resampled(F.conv_transpose2d, x_BCHW, 4.0)


def downsample(x_BCHW):
    return resampled(F.conv2d, x_BCHW, 1.0)


def squared_gradient(judge, image_BCHW):
    """(B,) logits, and (B,) |gradient|^2 of each in its own image; it can be compiled, and differentiated again."""
    logit_B, pull = torch.func.vjp(judge, image_BCHW)
    (gradient_BCHW,) = pull(torch.ones_like(logit_B))
    return logit_B, (gradient_BCHW**2).sum((1, 2, 3))


def initialize(module: nn.Module) -> None:
    """DCGAN's N(0, 0.02), of normalization's scales N(1, 0.02), as ours; pixels of one shuffle start alike."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    for before, after in zip(list(module.modules()), list(module.modules())[1:]):
        if isinstance(after, nn.PixelShuffle):
            with torch.no_grad():
                before.weight.copy_(before.weight[::4].repeat_interleave(4, dim=0))


def seeded(seed: int) -> torch.Generator:
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def images(file: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 1, H, W) float32 in [-1, 1] and labels (N,) of an .npz such as that of Fashion-MNIST."""
    with np.load(file, allow_pickle=False) as arrays:
        image, label = arrays[f"{split}_image"], arrays[f"{split}_label"]
    return (image[:, None] / 127.5 - 1).astype(np.float32), label.astype(np.int64)
