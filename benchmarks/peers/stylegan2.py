"""StyleGAN2 on 32 x 32 colour pictures, all four turns when they are due, against the same layers in PyTorch; sampling.

A run is 16 steps: R1 is due once, and the path length four times. Both are derivatives of derivatives, which
torch.compile takes as `torch.func.vjp` within what it compiles.
"""

import math

import numpy as np
import torch
from peers import sides
from peers.adversarial import blurred, downsample, squared_gradient, upsample
from peers.pairs import Pair
from torch import nn
from torch.nn import functional as F

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import StyleGAN2, StyleGAN2Config
from genjax.models.gan import StyleGAN2Options
from genjax.spec import DataSpec, Image

SIZE, BATCH, SAMPLES, STYLE, MAPPING, WIDTH, GROUP, RATE = 32, 8, 16, 64, 2, 64, 4, 2e-3
GAMMA, R1_EVERY, PATH_WEIGHT, PATH_EVERY, MIXING = 1.0, 16, 2.0, 4, 0.9


def experiment(side: int = SIZE, precision: str = "float32") -> Experiment:
    network = StyleGAN2Config(
        latent=STYLE, style=STYLE, mapping_layers=MAPPING, channels=WIDTH * side, most_channels=WIDTH, group=GROUP
    )
    return Experiment(
        model=StyleGAN2(
            network=network,
            conditional=False,
            mixing=MIXING,
            r1_gamma=GAMMA,
            r1_every=R1_EVERY,
            path_weight=PATH_WEIGHT,
            path_every=PATH_EVERY,
        ),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.0, b2=0.99),
        train=Train(precision=precision),
    )


def pair(precision: str = "float32") -> Pair:
    peer = Peer(SIZE, precision, compiled=True)
    theirs = sides.torch_training("PyTorch, torch.compile", peer.modules, peer.synthetic())
    ours = sides.training(experiment(SIZE, precision), DataSpec({"image": Image(SIZE, SIZE, 3)}))
    both = (side._replace(run=lambda n, run=side.run: run(R1_EVERY * n)) for side in (ours, theirs))
    shapes = f"{SIZE}x{SIZE}x3, {WIDTH} channels, mapping of {MAPPING}, R1 every {R1_EVERY} and path length every "
    shapes += f"{PATH_EVERY} steps, batch {BATCH}, {precision}"
    return Pair("stylegan2", *both, R1_EVERY * BATCH, "images", shapes, precision)


def sampling(precision: str = "float32") -> Pair:
    """Pictures of the generator at rest."""
    spec, conditions = DataSpec({"image": Image(SIZE, SIZE, 3)}), {"index": np.arange(SAMPLES, dtype=np.int32)}
    taken = ("mapping", "synthesis")
    ours = sides.sampling(experiment(SIZE, precision), spec, conditions, StyleGAN2Options(), taken)
    peer = Peer(SIZE, precision)
    draw = torch.compile(peer.sample)
    theirs = sides.torch_training("PyTorch, torch.compile", [peer.generator], lambda: draw(SAMPLES))
    shapes = f"{SIZE}x{SIZE}x3, {WIDTH} channels, mapping of {MAPPING}, {SAMPLES} images, {precision}"
    return Pair("stylegan2_images", ours, theirs, SAMPLES, "images", shapes, precision)


def activate(x, gain: float = 1.0):
    return F.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)


def unit(z):
    """Latents of mean square 1."""
    return z * torch.rsqrt((z**2).mean(1, keepdim=True) + 1e-8)


class Dense(nn.Module):
    """Equalized: kernels from N(0, 1), scaled at run time; `rate` multiplies the learning rate."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0, activated: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rate, self.activated = rate, activated

    def forward(self, x):
        y = F.linear(x, self.weight * (self.rate / math.sqrt(self.weight.shape[1])), self.bias * self.rate)
        return activate(y) if self.activated else y


class Conv(nn.Module):
    """Equalized; with `down` the filter and a stride of 2."""

    def __init__(self, inputs: int, outputs: int, side: int = 3, down: bool = False, bias: bool = True, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.side, self.down, self.gain = (inputs * side**2) ** -0.5, side, down, gain

    def forward(self, x):
        weight = self.weight * self.scale
        if self.down and self.side == 1:
            x = downsample(x)
        if self.down and self.side == 3:
            x = F.conv2d(blurred(x, 2), weight, self.bias, stride=2)
        else:
            x = F.conv2d(x, weight, self.bias, padding=self.side // 2)
        return x * self.gain if self.bias is None else activate(x, self.gain)


class Modulated(nn.Module):
    """The style scales input channels; demodulation scales output channels: as NVIDIA's code trains."""

    def __init__(self, inputs: int, outputs: int, side: int = 3, up: bool = False, demodulate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.affine = Dense(STYLE, inputs, bias=1.0)
        self.side, self.up, self.demodulate = side, up, demodulate

    def forward(self, x, w):
        style = self.affine(w)
        if not self.demodulate:
            style = style * self.weight[0].numel() ** -0.5
        x = x * style[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = 4 * blurred(x, 1)
        else:
            x = F.conv2d(x, self.weight, padding=self.side // 2)
        if self.demodulate:
            norm2 = style**2 @ (self.weight**2).sum((2, 3)).T
            x = x * torch.rsqrt(norm2 + 1e-8)[:, :, None, None]
        return x


class Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, up: bool):
        super().__init__()
        self.modulated, self.noise = Modulated(inputs, outputs, up=up), nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, w):
        x = self.modulated(x, w)
        x = x + self.noise * torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return activate(x + self.bias[:, None, None])


class Generator(nn.Module):
    """Mapping, and the synthesis whose images add up over resolutions."""

    def __init__(self, side: int):
        super().__init__()
        self.sides = [4 * 2**i for i in range(int(math.log2(side)) - 1)]
        self.mapping = nn.Sequential(*(Dense(STYLE, STYLE, 0.01, activated=True) for _ in range(MAPPING)))
        self.start = nn.Parameter(torch.randn(WIDTH, self.sides[0], self.sides[0]))
        ups = [False] + [up for _ in self.sides[1:] for up in (True, False)]
        self.layers = nn.ModuleList(Layer(WIDTH, WIDTH, up) for up in ups)
        self.images = nn.ModuleList(Modulated(WIDTH, 3, 1, demodulate=False) for _ in self.sides)
        self.biases = nn.Parameter(torch.zeros(len(self.sides), 3))

    def styles(self, z, other, crossing):
        """(B, L, W) of two latents (B, Z), the second from layer `crossing` (B,) on."""
        w, w_other = self.mapping(unit(z)), self.mapping(unit(other))
        first = torch.arange(2 * len(self.sides), device=z.device) < crossing[:, None]
        return torch.where(first[:, :, None], w[:, None], w_other[:, None])

    def forward(self, w):
        x, image, number = self.start.expand(len(w), -1, -1, -1), None, 0
        for i in range(len(self.sides)):
            for _ in range(1 if i == 0 else 2):
                x = self.layers[number](x, w[:, number])
                number += 1
            shown = self.images[i](x, w[:, number]) + self.biases[i][:, None, None]
            image = shown if image is None else upsample(image) + shown
        return image.float()


class Judge(nn.Module):
    """Residual, with the deviation over groups of images."""

    def __init__(self, side: int):
        super().__init__()
        levels = range(int(math.log2(side)) - 2)
        gain = math.sqrt(0.5)
        self.image = Conv(3, WIDTH, 1)
        self.convs = nn.ModuleList(Conv(WIDTH, WIDTH) for _ in levels)
        self.downs = nn.ModuleList(Conv(WIDTH, WIDTH, down=True, gain=gain) for _ in levels)
        self.skips = nn.ModuleList(Conv(WIDTH, WIDTH, 1, down=True, bias=False, gain=gain) for _ in levels)
        self.last = Conv(WIDTH + 1, WIDTH)
        self.dense = Dense(WIDTH * 4**2, WIDTH, activated=True)
        self.logit = Dense(WIDTH, 1)

    def forward(self, image):
        x = self.image(image)
        for conv, down, skip in zip(self.convs, self.downs, self.skips):
            x = down(conv(x)) + skip(x)
        grouped = x.unflatten(0, (-1, GROUP))
        deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(GROUP)
        x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        return self.logit(self.dense(self.last(x).flatten(1)))[:, 0].float()


def adam(module: nn.Module, every: int):
    """Every lazy turn adds a step, which the paper makes up for (appendix B)."""
    c = every / (every + 1)
    return torch.optim.Adam(module.parameters(), lr=c * RATE, betas=(0.0, 0.99**c), fused=True)


class Peer:
    """The players and `step(real)`: one batch of generated images for both turns; the lazy ones when they are due."""

    def __init__(self, side: int = SIZE, precision: str = "float32", compiled: bool = False):
        self.device, self.side, self.precision = sides.torch_device(), side, precision
        self.generator, self.judge = sides.placed(Generator(side)), sides.placed(Judge(side))
        self.modules = [self.generator, self.judge]
        self.optimizers = [adam(self.generator, PATH_EVERY), adam(self.judge, R1_EVERY)]
        self.number, self.length_mean = 0, torch.zeros((), device=self.device)
        wrap = torch.compile if compiled else lambda function: function
        self._made, self._judging, self._making = map(wrap, (self._made, self._judging, self._making))
        self._r1, self._path = map(wrap, (self._r1, self._path))

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _styles(self, count: int):
        layers = 2 * len(self.generator.sides)
        crossing = torch.randint(1, layers, (count,), device=self.device)
        crossing = torch.where(torch.rand(count, device=self.device) < MIXING, crossing, layers)
        return self.generator.styles(*(torch.randn(count, STYLE, device=self.device) for _ in range(2)), crossing)

    def _made(self, count: int):
        with self.autocast():
            return self.generator(self._styles(count))

    def _judging(self, real, fake):
        with self.autocast():
            return (F.softplus(-self.judge(real)) + F.softplus(self.judge(fake))).mean()

    def _making(self, fake):
        with self.autocast():
            return F.softplus(-self.judge(fake)).mean()

    def _r1(self, real):
        with self.autocast():
            return R1_EVERY * GAMMA / 2 * squared_gradient(self.judge, real)[1].mean()

    def _path(self, count: int, mean):
        with self.autocast():
            w = self._styles(count)
            y = torch.randn(count, 3, self.side, self.side, device=self.device) / self.side
            _, pull = torch.func.vjp(self.generator, w)
            (gradient,) = pull(y)
        length = (gradient**2).sum(2).mean(1).sqrt()
        return PATH_EVERY * PATH_WEIGHT * ((length - mean) ** 2).mean(), length.detach().mean()

    def step(self, real) -> None:
        optimize_generator, optimize_judge = self.optimizers
        self.number += 1
        fake = self._made(len(real))
        sides.learn(optimize_judge, self._judging(real, fake.detach()))
        if self.number % R1_EVERY == 0:
            sides.learn(optimize_judge, self._r1(real))
        self.judge.requires_grad_(False)
        sides.learn(optimize_generator, self._making(fake))
        self.judge.requires_grad_(True)
        if self.number % PATH_EVERY == 0:
            loss, length = self._path(len(real), self.length_mean)
            self.length_mean = self.length_mean.lerp(length, 0.01)
            sides.learn(optimize_generator, loss)

    def synthetic(self):
        """A step on one batch of noise, for timing."""
        real = sides.placed(torch.rand(BATCH, 3, self.side, self.side) * 2 - 1)
        return lambda: self.step(real)

    def sample(self, count: int):
        with torch.no_grad(), self.autocast():
            w = self.generator.mapping(unit(torch.randn(count, STYLE, device=self.device)))
            return self.generator(w[:, None].expand(-1, 2 * len(self.generator.sides), -1))
