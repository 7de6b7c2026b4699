"""A small DDPM U-Net on 28 x 28 grey images, against diffusers' UNet2DModel: training, and three samplers."""

import functools

import numpy as np
from peers import sides
from peers.pairs import Pair, Side

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import UNetConfig
from genjax.models.diffusion import Diffusion, DiffusionOptions
from genjax.spec import DataSpec, Image

BATCH, SAMPLES, SIZE, WIDTHS, BLOCKS = 32, 16, 28, (32, 64), 1
SAMPLERS = {  # our name -> diffusers' scheduler, steps; Heun's evaluates the network twice a step, but for the last one
    "ddim": ("DDIMScheduler", 50),
    "heun": ("HeunDiscreteScheduler", 18),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", 20),
}
SPEC = DataSpec({"image": Image(SIZE, SIZE, 1)})
NETWORK = f"{SIZE}x{SIZE}x1, channels {WIDTHS}, {BLOCKS} block a level, attention in the middle"


def training(precision: str = "float32") -> Pair:
    ours = sides.training(experiment(precision), SPEC)
    shapes = f"{NETWORK}, batch {BATCH}, {precision}"
    return Pair("unet", ours, their_training(precision), BATCH, "images", shapes, precision)


def sampling(sampler: str, precision: str = "float32") -> Pair:
    shapes = f"{NETWORK}, {SAMPLES} images, {SAMPLERS[sampler][1]} steps, {precision}"
    conditions = {"index": np.arange(SAMPLES, dtype=np.int32)}
    options = DiffusionOptions(sampler=sampler, steps=SAMPLERS[sampler][1])
    ours = sides.sampling(experiment(precision), SPEC, conditions, options)
    return Pair(sampler, ours, their_sampling(sampler, precision), SAMPLES, "images", shapes, precision)


ddim, heun, dpmpp_2m = (functools.partial(sampling, sampler) for sampler in SAMPLERS)


def experiment(precision: str) -> Experiment:
    multipliers = tuple(width // WIDTHS[0] for width in WIDTHS)
    network = UNetConfig(channels=WIDTHS[0], multipliers=multipliers, blocks=BLOCKS, attention=())
    return Experiment(
        model=Diffusion(network=network, conditional=False),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=1e-3),
        train=Train(precision=precision),
    )


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


def their_sampling(sampler: str, precision: str) -> Side:
    import diffusers
    import torch

    device, model, (name, steps) = sides.torch_device(), their_model().eval(), SAMPLERS[sampler]
    scheduler = getattr(diffusers, name)()

    @torch.compile
    def estimate(x, t):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return model(x, t).sample.float()

    @torch.no_grad()
    def draw():
        scheduler.set_timesteps(steps, device=device)  # those that look back begin anew with it
        x = torch.randn(SAMPLES, 1, SIZE, SIZE, device=device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            x = scheduler.step(estimate(scheduler.scale_model_input(x, t), t), t, x).prev_sample

    return sides.torch_training(f"diffusers {name.removesuffix('Scheduler')}, torch.compile", [model], draw)
