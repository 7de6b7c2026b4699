"""Recipes in an accelerator's sizes, in bfloat16, against the same networks in PyTorch under torch.compile.

Both sides do the whole step of the recipe: dropout, clipping, AdamW or Adam, the average of the weights. PyTorch's
weights are float32 under autocast, and its optimizers fused.
"""

import jax
import large
import numpy as np
from peers import sides
from peers.pairs import Pair, Side

from genjax.engine.engine import Engine
from genjax.models.diffusion import DiffusionOptions
from genjax.runs.check import resolve

__all__ = ["dit", "gpt2", "sampling", "unet"]

STEPS = 50


def gpt2(tiny: bool = False) -> Pair:
    subject = large.subject("gpt2_124m", tiny)
    ours, model = our_training(subject), resolve(subject.experiment, subject.spec).model
    import torch
    from peers.networks import GPT2

    device, batch, optim = sides.torch_device(), subject.experiment.data.batch_size, subject.experiment.optim
    network = GPT2(-(-model.vocabulary // 128) * 128, model.context, model.layers, model.heads, model.width).to(device)
    tokens = torch.randint(model.vocabulary, (batch, model.context + 1), device=device)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    @torch.compile
    def loss(inputs, targets):
        with autocast(device):
            logits = network(inputs)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(optim.b1, optim.b2), fused=True)
    theirs = their_training("nanoGPT's network", network, optimizer, lambda: loss(inputs, targets), optim.clip_norm)
    return pair(subject, ours, theirs, batch * model.context, "tokens")


def unet(tiny: bool = False) -> Pair:
    subject = large.subject("ddpm_cifar10", tiny)
    ours = our_training(subject)
    network = their_unet(subject)
    return pair(subject, ours, their_diffusion("DDPM's U-Net", network, subject), subject.experiment.data.batch_size)


def dit(tiny: bool = False) -> Pair:
    subject = large.subject("dit_s2_latent", tiny)
    ours = our_training(subject)
    from peers.networks import DiT

    c, shape = subject.experiment.model.network, subject.spec.fields["image"].shape
    classes = subject.spec.fields["label"].classes
    network = sides.placed(DiT(shape[0], shape[2], classes, c.patch, c.layers, c.heads, c.width))
    theirs = their_diffusion("DiT", network, subject, classes)
    return pair(subject, ours, theirs, subject.experiment.data.batch_size)


def sampling(tiny: bool = False) -> Pair:
    """DDIM: all steps of ours are one compiled call, of theirs each."""
    subject = large.subject("ddpm_cifar10", tiny)
    engine = Engine(resolve(subject.experiment, subject.spec), subject.spec, jax.devices()[:1])
    state, count = engine.init(), subject.experiment.data.batch_size
    conditions = {"index": np.arange(count, dtype=np.int32)}
    steps = 2 if tiny else STEPS
    options = DiffusionOptions(sampler="ddim", steps=steps)

    def draw(times: int) -> None:
        for seed in range(times):
            engine.sample(state, conditions, seed, options)

    ours = Side("genjax", draw, sum(x.size for x in jax.tree.leaves(state.params)))
    import torch

    network, device = their_unet(subject).eval(), sides.torch_device()
    height, width, channels = subject.spec.fields["image"].shape
    keep = torch.linspace(0.9999, 1e-4, steps + 1, device=device).cumprod(0)

    @torch.compile
    def move(x, t, now, then):
        with autocast(device):
            noise = network(x, t).float()
        image = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        return then.sqrt() * image + (1 - then).sqrt() * noise

    @torch.no_grad()
    def their_draw():
        x = sides.placed(torch.randn(count, channels, height, width))
        for i in reversed(range(steps)):
            x = move(x, torch.full((count,), i, device=device), keep[i + 1], keep[i])
        x.cpu()

    theirs = sides.torch_training("PyTorch, torch.compile: DDIM", [network], their_draw)
    made = pair(subject, ours, theirs, count)
    return made._replace(name="ddim_cifar10", shapes=f"{made.shapes}, {steps} steps of DDIM")


def pair(subject, ours: Side, theirs: Side, count: int, unit: str = "images") -> Pair:
    shapes = f"the recipe {subject.name}, batch {subject.experiment.data.batch_size}, bfloat16"
    return Pair(subject.name, ours, theirs, count, unit, shapes, "bfloat16")


def our_training(subject) -> Side:
    return sides.training(subject.experiment, subject.spec)


def autocast(device):
    import torch

    return torch.autocast(device.type, torch.bfloat16)


def their_unet(subject):
    from peers.networks import UNet

    c, shape = subject.experiment.model.network, subject.spec.fields["image"].shape
    sizes = (c.channels, c.multipliers, c.blocks, c.attention, c.heads, c.dropout)
    return sides.placed(UNet(shape[0], shape[2], *sizes))


def their_diffusion(name: str, network, subject, classes: int = 0) -> Side:
    """The noise of DDPM, predicted; every tenth label left out."""
    import torch

    device, experiment = sides.torch_device(), subject.experiment
    height, width, channels = subject.spec.fields["image"].shape
    batch = experiment.data.batch_size
    image = sides.placed(torch.rand(batch, channels, height, width) * 2 - 1)
    label = torch.randint(max(classes, 1), (batch,), device=device)
    keep = (1 - torch.linspace(1e-4, 0.02, 1000, device=device)).cumprod(0)

    @torch.compile
    def loss(image, label):
        noise, t = torch.randn_like(image), torch.randint(1000, (batch,), device=device)
        kept = keep[t][:, None, None, None]
        noisy = kept.sqrt() * image + (1 - kept).sqrt() * noise
        given = (torch.where(torch.rand(batch, device=device) < 0.1, classes, label),) if classes else ()
        with autocast(device):
            output = network(noisy, t, *given)
        return torch.nn.functional.mse_loss(output.float(), noise)

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    clip, decay = experiment.optim.clip_norm, experiment.train.ema_decay
    return their_training(name, network, optimizer, lambda: loss(image, label), clip, decay)


def their_training(
    name: str, network, optimizer, loss, clip_norm: float | None, ema_decay: float | None = None
) -> Side:
    import torch

    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters] if ema_decay else []

    def step():
        optimizer.zero_grad()
        loss().backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        if average:
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - ema_decay)

    return sides.torch_training(f"PyTorch, torch.compile: {name}", [network], step)
