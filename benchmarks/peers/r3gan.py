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


def pair(precision: str = "float32") -> Pair:
    experiment = Experiment(
        model=R3GAN(
            network=R3GANConfig(widths=WIDTHS, groups=GROUPS, blocks=1), latent=LATENT, gamma=GAMMA, final_gamma=GAMMA
        ),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.0, b2=0.99),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, DataSpec({"image": Image(SIZE, SIZE, 3)}))
    shapes = f"{SIZE}x{SIZE}x3, widths {WIDTHS}, one block a stage, R1 and R2, both turns, batch {BATCH}, {precision}"
    return Pair("r3gan", ours, theirs(precision), BATCH, "images", shapes, precision)


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
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, x):
        return x + self.layers(x)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        grid = SIZE // 2 ** (len(WIDTHS) - 1)
        self.basis = nn.Parameter(torch.randn(WIDTHS[0], grid, grid))
        self.latent = nn.Linear(LATENT, WIDTHS[0], bias=False)
        self.stages = nn.ModuleList(map(Block, WIDTHS, GROUPS))
        self.between = nn.ModuleList(joint(a, b) for a, b in itertools.pairwise(WIDTHS))
        self.image = nn.Conv2d(WIDTHS[-1], 3, 1, bias=False)

    def forward(self, z):
        x = self.stages[0](self.basis * self.latent(z)[:, :, None, None])
        for between, stage in zip(self.between, self.stages[1:]):
            x = stage(upsample(between(x)))
        return self.image(x)


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        grid = SIZE // 2 ** (len(WIDTHS) - 1)
        self.image = nn.Conv2d(3, WIDTHS[-1], 1, bias=False)
        self.stages = nn.ModuleList(map(Block, WIDTHS[::-1], GROUPS[::-1]))
        self.between = nn.ModuleList(joint(a, b) for a, b in itertools.pairwise(WIDTHS[::-1]))
        self.basis = nn.Parameter(torch.randn(WIDTHS[0], grid, grid) / grid)
        self.logit = nn.Linear(WIDTHS[0], 1, bias=False)

    def forward(self, x):
        x = self.image(x)
        for stage, between in zip(self.stages, self.between):
            x = between(downsample(stage(x)))
        x = (self.stages[-1](x) * self.basis).sum((2, 3))
        return self.logit(x)[:, 0].float()


def joint(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)


def theirs(precision: str):
    device = sides.torch_device()
    generator, judge = sides.placed(Generator()), sides.placed(Judge())
    real = sides.placed(torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1)
    optimizers = [torch.optim.Adam(m.parameters(), lr=RATE, betas=(0.0, 0.99), fused=True) for m in (judge, generator)]

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    @torch.compile
    def made():
        with autocast():
            return generator(torch.randn(BATCH, LATENT, device=device)).float()

    @torch.compile
    def judging(fake):
        with autocast():
            (on_real, r1), (on_fake, r2) = squared_gradient(judge, real), squared_gradient(judge, fake)
        return F.softplus(on_fake - on_real).mean() + GAMMA / 2 * (r1 + r2).mean()

    @torch.compile
    def making(fake):
        with autocast():
            lead = judge(fake) - judge(real)
        return F.softplus(-lead).mean()

    def step():
        optimize_judge, optimize_generator = optimizers
        fake = made()
        optimize_judge.zero_grad()
        judging(fake.detach()).backward()
        optimize_judge.step()
        optimize_generator.zero_grad()
        judge.requires_grad_(False)
        making(fake).backward()
        judge.requires_grad_(True)
        optimize_generator.step()

    return sides.torch_training("PyTorch, torch.compile", [generator, judge], step)
