"""pix2pix on 64 x 64 colour pictures, both turns a step, against the same layers in PyTorch."""

import itertools

import torch
from peers import cyclegan, sides
from peers.adversarial import initialize
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


def experiment(precision: str = "float32") -> Experiment:
    return Experiment(
        model=Pix2Pix(generator=PixUNet(WIDTH, HALVINGS), discriminator=PatchGAN(cyclegan.JUDGE, cyclegan.LAYERS)),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=2e-4, b1=0.5),
        train=Train(precision=precision),
    )


def pair(precision: str = "float32") -> Pair:
    ours = sides.training(experiment(precision), DataSpec({f"image_{x}": Image(SIZE, SIZE, 3) for x in "ab"}))
    peer = Peer(precision, compiled=True)
    real = [sides.placed(torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1) for _ in range(2)]
    theirs = sides.torch_training("PyTorch, torch.compile", peer.modules, lambda: peer.step(*real))
    shapes = f"{SIZE}x{SIZE}x3, U-Net of width {WIDTH} and {HALVINGS} halvings, batch {BATCH}, {precision}"
    return Pair("pix2pix", ours, theirs, BATCH, "images", shapes, precision)


class Peer:
    """The players and `step(x, y)`, as in the authors' code: one batch of made pictures serves both turns."""

    def __init__(self, precision: str = "float32", compiled: bool = False):
        self.generator, self.judge = (
            sides.placed(initialize(Level(0))),
            sides.placed(initialize(cyclegan.discriminator(6))),
        )
        self.modules, self.precision, self.device = [self.generator, self.judge], precision, sides.torch_device()
        fused = dict(lr=2e-4, betas=(0.5, 0.999), fused=True)
        self.optimizers = [torch.optim.Adam(module.parameters(), **fused) for module in self.modules]
        wrap = torch.compile if compiled else lambda function: function
        self.made, self._judging, self._making = map(wrap, (self.made, self._judging, self._making))

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def made(self, x):
        with self.autocast():
            return self.generator(x).float()

    def _judging(self, x, y, fake):
        with self.autocast():
            on_real, on_fake = self.judge(torch.cat([x, y], 1)), self.judge(torch.cat([x, fake], 1))
        return 0.5 * (F.softplus(-on_real.float()).mean() + F.softplus(on_fake.float()).mean())

    def _making(self, x, y, fake):
        with self.autocast():
            on_fake = self.judge(torch.cat([x, fake], 1))
        return F.softplus(-on_fake.float()).mean() + L1 * F.l1_loss(fake, y)

    def step(self, x, y) -> None:
        optimize_generator, optimize_judge = self.optimizers
        fake = self.made(x)
        sides.learn(optimize_judge, self._judging(x, y, fake.detach()))
        self.judge.requires_grad_(False)  # this turn needs no gradient of its weights, and ours computes none
        sides.learn(optimize_generator, self._making(x, y, fake))
        self.judge.requires_grad_(True)


def trained(domains, steps: int, seed: int):
    """What turns {"a": pictures (N, H, W, C), ...} into {"b"}, after so many steps on pairs of two arrays of these."""
    torch.manual_seed(seed)
    peer, order = Peer(), cyclegan.passes(len(domains[0]))
    domains = [torch.from_numpy(domain).permute(0, 3, 1, 2) for domain in domains]
    for _ in range(steps):
        rows = list(itertools.islice(order, BATCH))
        peer.step(*(sides.placed(domain[rows]) for domain in domains))

    def turned(pictures):
        with torch.no_grad():  # dropout stays on: it is the paper's noise
            made = peer.made(sides.placed(torch.from_numpy(pictures["a"]).permute(0, 3, 1, 2)))
        return {"b": made.permute(0, 2, 3, 1).cpu().numpy()}

    return turned
