"""CycleGAN on 32 x 32 colour pictures, both turns a step, against the same layers in PyTorch."""

import itertools
import random

import torch
from peers import sides
from peers.adversarial import initialize
from peers.pairs import Pair
from torch import nn
from torch.nn import functional as F

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import CycleGAN, PatchGAN, ResNet
from genjax.spec import DataSpec, Image

WIDTH, BLOCKS, JUDGE, LAYERS = 16, 4, 32, 2  # of the recipe cyclegan_emoji
SIZE, BATCH, POOL, CYCLE, IDENTITY = 32, 8, 50, 10.0, 5.0


def normed(*layers: nn.Module, features: int) -> list[nn.Module]:
    return [*layers, nn.InstanceNorm2d(features), nn.ReLU()]


def reflected(inputs: int, outputs: int, side: int, bias: bool = False) -> list[nn.Module]:
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inputs, outputs, side, bias=bias)]


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        inner = normed(*reflected(width, width, 3), features=width)
        self.layers = nn.Sequential(*inner, *reflected(width, width, 3), nn.InstanceNorm2d(width))

    def forward(self, x):
        return x + self.layers(x)


def generator() -> nn.Sequential:
    """c7s1-w, d2w, d4w, R4w times BLOCKS, u2w, uw, c7s1-3."""
    layers = normed(*reflected(3, WIDTH, 7), features=WIDTH)
    for width in (2 * WIDTH, 4 * WIDTH):
        layers += normed(nn.Conv2d(width // 2, width, 3, 2, 1, bias=False), features=width)
    layers += [Block(4 * WIDTH) for _ in range(BLOCKS)]
    for width in (2 * WIDTH, WIDTH):
        conv = nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False)
        layers += normed(conv, nn.PixelShuffle(2), features=width)
    return nn.Sequential(*layers, *reflected(WIDTH, 3, 7, bias=True), nn.Tanh())


def discriminator(channels: int = 3) -> nn.Sequential:
    layers, inputs = [], channels
    for i in range(LAYERS + 1):
        width = JUDGE * min(2**i, 8)
        layers += [nn.Conv2d(inputs, width, 4, 2 if i < LAYERS else 1, 1, bias=i == 0)]
        layers += [nn.InstanceNorm2d(width)] * (i > 0) + [nn.LeakyReLU(0.2)]
        inputs = width
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 1))


class Peer:
    """The four networks and one step of both players, as the usual PyTorch code has it."""

    def __init__(self, precision: str = "float32", compiled: bool = False):
        self.to_a, self.to_b = (sides.placed(initialize(generator())) for _ in range(2))
        self.judge_a, self.judge_b = (sides.placed(initialize(discriminator())) for _ in range(2))
        self.generators = nn.ModuleList([self.to_a, self.to_b])
        self.judges = nn.ModuleList([self.judge_a, self.judge_b])
        fused = dict(lr=2e-4, betas=(0.5, 0.999), fused=True)
        self.optimizers = [torch.optim.Adam(m.parameters(), **fused) for m in (self.generators, self.judges)]
        self.pools, self.precision = ([], []), precision
        wrap = torch.compile if compiled else lambda function: function
        self.generators_loss, self.judges_loss = wrap(self.generators_loss), wrap(self.judges_loss)

    def autocast(self, like):
        return torch.autocast(like.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def generators_loss(self, real_a, real_b):
        with self.autocast(real_a):
            fake_b, fake_a = self.to_b(real_a), self.to_a(real_b)
            loss = ((self.judge_a(fake_a).float() - 1) ** 2).mean() + ((self.judge_b(fake_b).float() - 1) ** 2).mean()
            loss += CYCLE * (F.l1_loss(self.to_a(fake_b), real_a) + F.l1_loss(self.to_b(fake_a), real_b))
            loss += IDENTITY * (F.l1_loss(self.to_a(real_a), real_a) + F.l1_loss(self.to_b(real_b), real_b))
        return loss, fake_a, fake_b

    def judges_loss(self, real_a, real_b, fake_a, fake_b):
        loss = 0.0
        with self.autocast(real_a):
            for judge, real, fake in ((self.judge_a, real_a, fake_a), (self.judge_b, real_b, fake_b)):
                loss += 0.5 * ((judge(real).float() - 1) ** 2).mean() + 0.5 * (judge(fake).float() ** 2).mean()
        return loss

    def step(self, real_a, real_b):
        optimize_generators, optimize_judges = self.optimizers
        optimize_generators.zero_grad()
        self.judges.requires_grad_(False)
        loss, fake_a, fake_b = self.generators_loss(real_a, real_b)
        loss.backward()
        optimize_generators.step()
        self.judges.requires_grad_(True)
        shown = [from_pool(pool, fake.detach()) for pool, fake in zip(self.pools, (fake_a, fake_b))]
        optimize_judges.zero_grad()
        self.judges_loss(real_a, real_b, *shown).backward()
        optimize_judges.step()


def from_pool(pool: list, fake_BCHW):
    """Half of the pictures exchanged for earlier ones, once the pool is full."""
    shown = []
    for fake in fake_BCHW:
        if len(pool) < POOL:
            pool.append(fake)
        elif random.random() < 0.5:
            place = random.randrange(POOL)
            pool[place], fake = fake, pool[place]
        shown.append(fake)
    return torch.stack(shown)


def experiment(precision: str = "float32") -> Experiment:
    return Experiment(
        model=CycleGAN(generator=ResNet(WIDTH, blocks=BLOCKS), discriminator=PatchGAN(JUDGE, LAYERS)),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=2e-4, b1=0.5, schedule="linear"),
        train=Train(precision=precision),
    )


def pair(precision: str = "float32") -> Pair:
    ours = sides.training(experiment(precision), DataSpec({f"image_{x}": Image(SIZE, SIZE, 3) for x in "ab"}))
    peer = Peer(precision, compiled=True)
    real = [sides.placed(torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1) for _ in range(2)]
    theirs = sides.torch_training("PyTorch, torch.compile", [peer.generators, peer.judges], lambda: peer.step(*real))
    shapes = f"{SIZE}x{SIZE}x3, width {WIDTH}, {BLOCKS} blocks, patch of {LAYERS} layers, batch {BATCH}, {precision}"
    return Pair("cyclegan", ours, theirs, BATCH, "images", shapes, precision)


def passes(count: int):
    """Permutation after permutation."""
    while True:
        yield from torch.randperm(count).tolist()


def trained(domains, steps: int, seed: int):
    """What turns pictures after so many steps on two domains (N, H, W, C): {"a", "b"} into {"b", "a"}.

    Linear decay from the first step on, epochs of permutations of each domain, as the recipe has them.
    """
    random.seed(seed)
    torch.manual_seed(seed)
    peer, domains = Peer(), [torch.from_numpy(domain).permute(0, 3, 1, 2) for domain in domains]
    orders = [passes(len(domain)) for domain in domains]
    for step in range(steps):
        for optimizer in peer.optimizers:
            optimizer.param_groups[0]["lr"] = 2e-4 * (1 - step / steps)
        peer.step(*(domain[list(itertools.islice(order, BATCH))] for domain, order in zip(domains, orders)))

    def turned(pictures):
        with torch.no_grad():
            a, b = (torch.from_numpy(pictures[x]).permute(0, 3, 1, 2) for x in "ab")
            made = {"b": peer.to_b(a), "a": peer.to_a(b)}
        return {x: image.permute(0, 2, 3, 1).numpy() for x, image in made.items()}

    return turned
