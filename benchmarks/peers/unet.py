"""A small DDPM U-Net on 28 x 28 grey images, against diffusers' UNet2DModel: training, and sampling by DDIM."""

import functools

import jax
import numpy as np
from peers import sides
from peers.pairs import Pair, Side

from genjax.engine.engine import Engine
from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import UNetConfig
from genjax.models.diffusion import Diffusion, DiffusionOptions
from genjax.runs.check import resolve
from genjax.spec import DataSpec, Image

BATCH, SAMPLES, STEPS, SIZE, WIDTHS, BLOCKS = 32, 16, 50, 28, (32, 64), 1
SPEC = DataSpec({"image": Image(SIZE, SIZE, 1)})
NETWORK = f"{SIZE}x{SIZE}x1, channels {WIDTHS}, {BLOCKS} block a level, attention in the middle"


def training(precision: str = "float32") -> Pair:
    ours = sides.training(experiment(precision), SPEC)
    shapes = f"{NETWORK}, batch {BATCH}, {precision}"
    return Pair("unet", ours, their_training(precision), BATCH, "images", shapes, precision)


def sampling(precision: str = "float32") -> Pair:
    shapes = f"{NETWORK}, {SAMPLES} images, {STEPS} steps, {precision}"
    return Pair("ddim", our_sampling(precision), their_sampling(precision), SAMPLES, "images", shapes, precision)


def experiment(precision: str) -> Experiment:
    multipliers = tuple(width // WIDTHS[0] for width in WIDTHS)
    network = UNetConfig(channels=WIDTHS[0], multipliers=multipliers, blocks=BLOCKS, attention=())
    return Experiment(
        model=Diffusion(network=network, conditional=False),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=1e-3),
        train=Train(precision=precision),
    )


def our_sampling(precision: str) -> Side:
    """All steps of the sampler in one compiled call."""
    engine = Engine(resolve(experiment(precision), SPEC), SPEC, jax.devices()[:1])
    state, conditions = engine.init(), {"index": np.arange(SAMPLES, dtype=np.int32)}
    options = DiffusionOptions(sampler="ddim", steps=STEPS)

    def draw(count: int) -> None:
        for seed in range(count):
            engine.sample(state, conditions, seed, options)

    return Side("genjax", draw, sum(x.size for x in jax.tree.leaves(state.params)))


@functools.cache
def their_model():
    from diffusers import UNet2DModel

    network = UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=WIDTHS,
        layers_per_block=BLOCKS,
        down_block_types=("DownBlock2D",) * len(WIDTHS),
        up_block_types=("UpBlock2D",) * len(WIDTHS),
        attention_head_dim=WIDTHS[-1],
    )
    return sides.placed(network)


def their_training(precision: str) -> Side:
    import torch
    from diffusers import DDPMScheduler

    device, model, scheduler = sides.torch_device(), their_model().train(), DDPMScheduler()
    image = sides.placed(torch.rand(BATCH, 1, SIZE, SIZE) * 2 - 1)

    @torch.compile
    def loss(noisy, noise, t):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = model(noisy, t).sample
        return torch.nn.functional.mse_loss(output.float(), noise)

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step():
        noise, t = torch.randn_like(image), torch.randint(1000, (BATCH,), device=device)
        optimizer.zero_grad()
        loss(scheduler.add_noise(image, noise, t), noise, t).backward()
        optimizer.step()

    return sides.torch_training("diffusers UNet2DModel, torch.compile", [model], step)


def their_sampling(precision: str) -> Side:
    import torch
    from diffusers import DDIMScheduler

    device, model, scheduler = sides.torch_device(), their_model().eval(), DDIMScheduler()
    scheduler.set_timesteps(STEPS, device=device)

    @torch.compile
    def estimate(x, t):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return model(x, t).sample.float()

    @torch.no_grad()
    def draw():
        x = torch.randn(SAMPLES, 1, SIZE, SIZE, device=device)
        for t in scheduler.timesteps:
            x = scheduler.step(estimate(x, t), t, x).prev_sample

    return sides.torch_training("diffusers DDIM, torch.compile", [model], draw)
