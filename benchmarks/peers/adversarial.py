"""What the PyTorch peers of GANs share: DCGAN's networks with our layers, resampling, gradients, starts."""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Judge", "blurred", "downsample", "generator", "initialize", "seeded", "squared_gradient", "upsample"]


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


def taps(x_BCHW, axis: int, padding: int, stride: int = 1):
    """The four neighbours of every place along an axis, of which the filter [1, 3, 3, 1] / 8 is the sum."""
    beside = (padding, padding) if axis == 3 else (0, 0, padding, padding)
    padded, places = F.pad(x_BCHW, beside), x_BCHW.shape[axis] + 2 * padding - 3
    first, second, third, fourth = (padded.narrow(axis, k, places) for k in range(4))
    y = (first + 3 * (second + third) + fourth) / 8
    return y if stride == 1 else y[:, :, ::stride] if axis == 2 else y[..., ::stride]


def blurred(x_BCHW, padding: int):
    """[1, 3, 3, 1] in both directions, in sums: as convolutions, its second derivatives take seconds on CPU."""
    return taps(taps(x_BCHW, 2, padding), 3, padding)


def downsample(x_BCHW):
    return taps(taps(x_BCHW, 2, 1, 2), 3, 1, 2)


def upsample(x_BCHW):
    """Twice the side: of two new places each takes three quarters of the nearer old one, a quarter of the next."""
    x_BCHW = doubled(x_BCHW, 2)
    return doubled(x_BCHW, 3)


def doubled(x_BCHW, axis: int):
    padded, places = F.pad(x_BCHW, (1, 1) if axis == 3 else (0, 0, 1, 1)), x_BCHW.shape[axis]
    before, here, after = (padded.narrow(axis, k, places) for k in range(3))
    return torch.stack([before + 3 * here, 3 * here + after], axis + 1).flatten(axis, axis + 1) / 4


def squared_gradient(judge, image_BCHW):
    """(B,) logits, and (B,) |gradient|^2 of each in its own image; it can be compiled, and differentiated again."""
    logit_B, pull = torch.func.vjp(judge, image_BCHW)
    (gradient_BCHW,) = pull(torch.ones_like(logit_B))
    return logit_B, (gradient_BCHW**2).sum((1, 2, 3))


def initialize(module: nn.Module) -> nn.Module:
    """DCGAN's N(0, 0.02), of normalization's scales N(1, 0.02), as ours; pixels of one shuffle start alike."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    for before, after in zip(list(module.modules()), list(module.modules())[1:]):
        if isinstance(after, nn.PixelShuffle):
            with torch.no_grad():
                before.weight.copy_(before.weight[::4].repeat_interleave(4, dim=0))
    return module


def seeded(seed: int) -> torch.Generator:
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)
