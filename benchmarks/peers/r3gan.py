"""R3GAN on 32 x 32 colour pictures, both turns a step, against the same layers in PyTorch.

The penalties are derivatives of derivatives, which torch.compile takes as `torch.func.vjp` within what it compiles.
"""

import itertools

import torch
from peers import sides
from peers.adversarial import downsample, squared_gradient, upsample
from peers.pairs import Pair
from torch import nn
from torch.nn import functional as F

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import R3GAN, R3GANConfig
from genjax.spec import DataSpec, Image

SIZE, BATCH, LATENT, GAMMA, RATE = 32, 16, 64, 0.05, 2e-4
WIDTHS, GROUPS = (64, 64, 32), (8, 8, 4)  # from the smallest grid to the image


def experiment(side: int = SIZE, precision: str = "float32") -> Experiment:
    return Experiment(
        model=R3GAN(
            network=R3GANConfig(widths=WIDTHS, groups=GROUPS, blocks=1),
            latent=LATENT,
            conditional=False,
            gamma=GAMMA,
            final_gamma=GAMMA,
        ),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.0, b2=0.99),
        train=Train(precision=precision),
    )


def pair(precision: str = "float32") -> Pair:
    ours = sides.training(experiment(SIZE, precision), DataSpec({"image": Image(SIZE, SIZE, 3)}))
    peer = Peer(SIZE, precision, compiled=True)
    theirs = sides.torch_training("PyTorch, torch.compile", peer.modules, peer.synthetic())
    shapes = f"{SIZE}x{SIZE}x3, widths {WIDTHS}, one block a stage, R1 and R2, both turns, batch {BATCH}, {precision}"
    return Pair("r3gan", ours, theirs, BATCH, "images", shapes, precision)


def started(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Kernels from N(0, gain^2 / inputs), biases at 0: as the paper's code starts them, and ours."""
    nn.init.normal_(layer.weight, std=gain * layer.weight[0].numel() ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x + 1x1, 3x3 in groups, 1x1, with biased leaky ReLUs between them; the last kernel starts at 0."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=groups),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, width, 1, bias=False),
        )
        gain = nn.init.calculate_gain("leaky_relu", 0.2) * len(WIDTHS) ** -0.25
        for layer, scale in zip(self.layers[::2], (gain, gain, 0.0)):
            started(layer, scale)

    def forward(self, x):
        return x + self.layers(x)


class Generator(nn.Module):
    def __init__(self, side: int):
        super().__init__()
        grid = side // 2 ** (len(WIDTHS) - 1)
        self.basis = nn.Parameter(torch.randn(WIDTHS[0], grid, grid))
        self.latent = started(nn.Linear(LATENT, WIDTHS[0], bias=False))
        self.stages = nn.ModuleList(map(Block, WIDTHS, GROUPS))
        self.between = nn.ModuleList(joint(a, b) for a, b in itertools.pairwise(WIDTHS))
        self.image = started(nn.Conv2d(WIDTHS[-1], 3, 1, bias=False))

    def forward(self, z):
        x = self.stages[0](self.basis * self.latent(z)[:, :, None, None])
        for between, stage in zip(self.between, self.stages[1:]):
            x = stage(upsample(between(x)))
        return self.image(x)


class Judge(nn.Module):
    def __init__(self, side: int):
        super().__init__()
        grid = side // 2 ** (len(WIDTHS) - 1)
        self.image = started(nn.Conv2d(3, WIDTHS[-1], 1, bias=False))
        self.stages = nn.ModuleList(map(Block, WIDTHS[::-1], GROUPS[::-1]))
        self.between = nn.ModuleList(joint(a, b) for a, b in itertools.pairwise(WIDTHS[::-1]))
        self.basis = nn.Parameter(torch.randn(WIDTHS[0], grid, grid) / grid)
        self.logit = started(nn.Linear(WIDTHS[0], 1, bias=False))

    def forward(self, x):
        x = self.image(x)
        for stage, between in zip(self.stages, self.between):
            x = between(downsample(stage(x)))
        x = (self.stages[-1](x) * self.basis).sum((2, 3))
        return self.logit(x)[:, 0].float()


def joint(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else started(nn.Conv2d(inputs, outputs, 1, bias=False))


class Peer:
    """The players and `step(real)`: one batch of generated images for both turns."""

    def __init__(self, side: int = SIZE, precision: str = "float32", compiled: bool = False):
        self.device, self.side, self.precision = sides.torch_device(), side, precision
        self.generator, self.judge = sides.placed(Generator(side)), sides.placed(Judge(side))
        self.modules = [self.generator, self.judge]
        self.optimizers = [
            torch.optim.Adam(m.parameters(), lr=RATE, betas=(0.0, 0.99), fused=True) for m in self.modules
        ]
        wrap = torch.compile if compiled else lambda function: function
        self._made, self._judging, self._making = map(wrap, (self._made, self._judging, self._making))

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _made(self, count: int):
        with self.autocast():
            return self.generator(torch.randn(count, LATENT, device=self.device)).float()

    def _judging(self, real, fake):
        with self.autocast():
            (on_real, r1), (on_fake, r2) = squared_gradient(self.judge, real), squared_gradient(self.judge, fake)
        return F.softplus(on_fake - on_real).mean() + GAMMA / 2 * (r1 + r2).mean()

    def _making(self, real, fake):
        with self.autocast():
            lead = self.judge(fake) - self.judge(real)
        return F.softplus(-lead).mean()

    def step(self, real) -> None:
        optimize_generator, optimize_judge = self.optimizers
        fake = self._made(len(real))
        sides.learn(optimize_judge, self._judging(real, fake.detach()))
        self.judge.requires_grad_(False)
        sides.learn(optimize_generator, self._making(real, fake))
        self.judge.requires_grad_(True)

    def synthetic(self):
        """A step on one batch of noise, for timing."""
        real = sides.placed(torch.rand(BATCH, 3, self.side, self.side) * 2 - 1)
        return lambda: self.step(real)

    def sample(self, count: int):
        with torch.no_grad():
            return self._made(count)
