"""StyleGAN2 on 32 x 32 colour pictures, all four turns when they are due, against the same layers in PyTorch.

A run is 16 steps: R1 is due once, and the path length four times. Both are derivatives of derivatives, which
torch.compile takes as `torch.func.vjp` within what it compiles.
"""

import math

import torch
from peers import sides
from peers.adversarial import downsample, squared_gradient, upsample
from peers.pairs import Pair
from torch import nn
from torch.nn import functional as F

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import StyleGAN2, StyleGAN2Config
from genjax.spec import DataSpec, Image

SIZE, BATCH, STYLE, MAPPING, WIDTH, GROUP, RATE = 32, 8, 64, 2, 64, 4, 2e-3
SIDES = (4, 8, 16, 32)
GAMMA, R1_EVERY, PATH_WEIGHT, PATH_EVERY, MIXING = 1.0, 16, 2.0, 4, 0.9


def pair(precision: str = "float32") -> Pair:
    config = StyleGAN2Config(
        latent=STYLE, style=STYLE, mapping_layers=MAPPING, channels=WIDTH * SIZE, most_channels=WIDTH, group=GROUP
    )
    model = StyleGAN2(
        network=config, mixing=MIXING, r1_gamma=GAMMA, r1_every=R1_EVERY, path_weight=PATH_WEIGHT, path_every=PATH_EVERY
    )
    experiment = Experiment(
        model=model,
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=RATE, b1=0.0, b2=0.99),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, DataSpec({"image": Image(SIZE, SIZE, 3)}))
    both = (side._replace(run=lambda n, run=side.run: run(R1_EVERY * n)) for side in (ours, theirs(precision)))
    shapes = f"{SIZE}x{SIZE}x3, {WIDTH} channels, mapping of {MAPPING}, R1 every {R1_EVERY} and path length every "
    shapes += f"{PATH_EVERY} steps, batch {BATCH}, {precision}"
    return Pair("stylegan2", *both, R1_EVERY * BATCH, "images", shapes, precision)


def activate(x, gain: float = 1.0):
    return F.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)


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
            x = F.conv2d(blurred(x), weight, self.bias, stride=2)
        else:
            x = F.conv2d(x, weight, self.bias, padding=self.side // 2)
        return x * self.gain if self.bias is None else activate(x, self.gain)


def line(x):
    return torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8


def blurred(x):
    """(B, C, H, W) -> (B, C, H + 1, W + 1): the filter alone, before a 3x3 convolution of stride 2."""
    y = F.conv2d(x.flatten(0, 1)[:, None], torch.outer(line(x), line(x))[None, None], padding=2)
    return y.unflatten(0, x.shape[:2])[:, :, 0]


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
            x = 4 * F.conv2d(x.flatten(0, 1)[:, None], torch.outer(line(x), line(x))[None, None], padding=1).unflatten(
                0, x.shape[:2]
            ).squeeze(2)
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

    def __init__(self):
        super().__init__()
        self.mapping = nn.Sequential(*(Dense(STYLE, STYLE, 0.01, activated=True) for _ in range(MAPPING)))
        self.start = nn.Parameter(torch.randn(WIDTH, SIDES[0], SIDES[0]))
        ups = [False] + [up for _ in SIDES[1:] for up in (True, False)]
        self.layers = nn.ModuleList(Layer(WIDTH, WIDTH, up) for up in ups)
        self.images = nn.ModuleList(Modulated(WIDTH, 3, 1, demodulate=False) for _ in SIDES)
        self.biases = nn.Parameter(torch.zeros(len(SIDES), 3))

    def styles(self, z, other, crossing):
        """(B, L, W) of two latents (B, Z), the second from layer `crossing` (B,) on."""
        w, w_other = (self.mapping(x * torch.rsqrt((x**2).mean(1, keepdim=True) + 1e-8)) for x in (z, other))
        first = torch.arange(2 * len(SIDES), device=z.device) < crossing[:, None]
        return torch.where(first[:, :, None], w[:, None], w_other[:, None])

    def forward(self, w):
        x, image, number = self.start.expand(len(w), -1, -1, -1), None, 0
        for i in range(len(SIDES)):
            for _ in range(1 if i == 0 else 2):
                x = self.layers[number](x, w[:, number])
                number += 1
            shown = self.images[i](x, w[:, number]) + self.biases[i][:, None, None]
            image = shown if image is None else upsample(image) + shown
        return image.float()


class Judge(nn.Module):
    """Residual, with the deviation over groups of images."""

    def __init__(self):
        super().__init__()
        gain = math.sqrt(0.5)
        self.image = Conv(3, WIDTH, 1)
        self.convs = nn.ModuleList(Conv(WIDTH, WIDTH) for _ in SIDES[1:])
        self.downs = nn.ModuleList(Conv(WIDTH, WIDTH, down=True, gain=gain) for _ in SIDES[1:])
        self.skips = nn.ModuleList(Conv(WIDTH, WIDTH, 1, down=True, bias=False, gain=gain) for _ in SIDES[1:])
        self.last = Conv(WIDTH + 1, WIDTH)
        self.dense = Dense(WIDTH * SIDES[0] ** 2, WIDTH, activated=True)
        self.logit = Dense(WIDTH, 1)

    def forward(self, image):
        x = self.image(image)
        for conv, down, skip in zip(self.convs, self.downs, self.skips):
            x = down(conv(x)) + skip(x)
        grouped = x.unflatten(0, (-1, GROUP))
        deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(GROUP)
        x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        return self.logit(self.dense(self.last(x).flatten(1)))[:, 0].float()


def theirs(precision: str):
    device = sides.torch_device()
    generator, judge = sides.placed(Generator()), sides.placed(Judge())
    real = sides.placed(torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1)

    def adam(module, every: int | None):
        """Every lazy turn adds a step, which the paper makes up for (appendix B)."""
        c = 1.0 if every is None else every / (every + 1)
        return torch.optim.Adam(module.parameters(), lr=c * RATE, betas=(0.0, 0.99**c), fused=True)

    optimize_judge, optimize_generator = adam(judge, R1_EVERY), adam(generator, PATH_EVERY)
    length_mean = torch.zeros((), device=device)

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def latents():
        layers = 2 * len(SIDES)
        crossing = torch.randint(1, layers, (BATCH,), device=device)
        crossing = torch.where(torch.rand(BATCH, device=device) < MIXING, crossing, layers)
        return *(torch.randn(BATCH, STYLE, device=device) for _ in range(2)), crossing

    @torch.compile
    def made():
        with autocast():
            return generator(generator.styles(*latents()))

    @torch.compile
    def judging(fake):
        with autocast():
            return (F.softplus(-judge(real)) + F.softplus(judge(fake))).mean()

    @torch.compile
    def making(fake):
        with autocast():
            return F.softplus(-judge(fake)).mean()

    @torch.compile
    def r1():
        with autocast():
            return R1_EVERY * GAMMA / 2 * squared_gradient(judge, real)[1].mean()

    @torch.compile
    def path(mean):
        with autocast():
            w = generator.styles(*latents())
            y = torch.randn(BATCH, 3, SIZE, SIZE, device=device) / SIZE
            _, pull = torch.func.vjp(generator, w)
            (gradient,) = pull(y)
        length = (gradient**2).sum(2).mean(1).sqrt()
        return PATH_EVERY * PATH_WEIGHT * ((length - mean) ** 2).mean(), length.detach().mean()

    number = 0

    def step():
        nonlocal number, length_mean
        number += 1
        fake = made()
        learn(optimize_judge, judging(fake.detach()))
        if number % R1_EVERY == 0:
            learn(optimize_judge, r1())
        judge.requires_grad_(False)
        learn(optimize_generator, making(fake))
        judge.requires_grad_(True)
        if number % PATH_EVERY == 0:
            loss, length = path(length_mean)
            length_mean = length_mean.lerp(length, 0.01)
            learn(optimize_generator, loss)

    return sides.torch_training("PyTorch, torch.compile", [generator, judge], step)


def learn(optimizer, loss) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
