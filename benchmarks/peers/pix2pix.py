"""pix2pix on 64 x 64 colour pictures, both turns a step, against the same layers in PyTorch."""

import torch
from peers import cyclegan, sides
from peers.pairs import Pair
from torch import nn
from torch.nn import functional as F

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import PatchGAN, Pix2Pix, PixUNet
from genjax.spec import DataSpec, Image

SIZE, BATCH, WIDTH, HALVINGS, L1 = 64, 8, 32, 6, 100.0


class Level(nn.Module):
    """One level of the U-Net: down, through the next one, up again beside what went in."""

    def __init__(self, depth: int):
        super().__init__()
        outer, inner = (3 if i < 0 else WIDTH * min(2**i, 8) for i in (depth - 1, depth))
        first, last = depth == 0, depth == HALVINGS - 1
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=first or last)
        up = nn.ConvTranspose2d(inner if last else 2 * inner, outer, 4, 2, 1, bias=first)
        layers = [] if first else [nn.LeakyReLU(0.2)]
        layers += [down] if first or last else [down, nn.InstanceNorm2d(inner)]
        layers += [] if last else [Level(depth + 1)]
        layers += [nn.ReLU(), up, *([nn.Tanh()] if first else [nn.InstanceNorm2d(outer)])]
        layers += [nn.Dropout(0.5)] * (depth >= HALVINGS - 3)
        self.layers, self.first = nn.Sequential(*layers), first

    def forward(self, x):
        y = self.layers(x)
        return y if self.first else torch.cat([x, y], 1)


def pair(precision: str = "float32") -> Pair:
    experiment = Experiment(
        model=Pix2Pix(generator=PixUNet(WIDTH, HALVINGS), discriminator=PatchGAN(cyclegan.JUDGE, cyclegan.LAYERS)),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=2e-4, b1=0.5),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, DataSpec({f"image_{x}": Image(SIZE, SIZE, 3) for x in "ab"}))
    shapes = f"{SIZE}x{SIZE}x3, U-Net of width {WIDTH} and {HALVINGS} halvings, batch {BATCH}, {precision}"
    return Pair("pix2pix", ours, theirs(precision), BATCH, "images", shapes, precision)


def theirs(precision: str):
    device = sides.torch_device()
    generator, discriminator = sides.placed(Level(0)), sides.placed(cyclegan.discriminator(6))
    x, y = (sides.placed(torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1) for _ in range(2))
    optimizers = [
        torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True) for m in (generator, discriminator)
    ]

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    @torch.compile
    def made():
        with autocast():
            return generator(x).float()

    @torch.compile
    def discriminator_loss(fake):
        with autocast():
            on_real, on_fake = discriminator(torch.cat([x, y], 1)), discriminator(torch.cat([x, fake], 1))
        return 0.5 * (F.softplus(-on_real.float()).mean() + F.softplus(on_fake.float()).mean())

    @torch.compile
    def generator_loss(fake):
        with autocast():
            on_fake = discriminator(torch.cat([x, fake], 1))
        return F.softplus(-on_fake.float()).mean() + L1 * F.l1_loss(fake, y)

    def step():
        """As in the authors' code: one batch of made pictures serves both turns."""
        optimize_generator, optimize_discriminator = optimizers
        fake = made()
        optimize_discriminator.zero_grad()
        discriminator_loss(fake.detach()).backward()
        optimize_discriminator.step()
        optimize_generator.zero_grad()
        discriminator.requires_grad_(False)  # this turn needs no gradient of its weights, and ours computes none
        generator_loss(fake).backward()
        discriminator.requires_grad_(True)
        optimize_generator.step()

    return sides.torch_training("PyTorch, torch.compile", [generator, discriminator], step)
