"""The recipes that an accelerator is measured with, in bfloat16, on random data; and tiny forms to try the programs.

A recipe is taken as it is, but for the batch, which one card holds, and the data.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from genjax import load_experiment
from genjax.experiment import Experiment
from genjax.models import DCGAN, ConvAutoencoder, UNetConfig
from genjax.models.diffusion import Pixels
from genjax.networks.dit import DiTConfig
from genjax.spec import DataSpec, Image, Label, Tokens

__all__ = ["NAMES", "Subject", "subject"]


class Subject(NamedTuple):
    name: str
    experiment: Experiment
    spec: DataSpec


def gpt2_124m(tiny: bool) -> tuple[dict, dict, DataSpec]:
    """GPT-2 in one micro-batch."""
    model = {"layers": 2, "heads": 2, "width": 32, "context": 16, "vocabulary": 128} if tiny else {}
    spec = DataSpec({"tokens": Tokens((16 if tiny else 1024,), 128 if tiny else 50257, shifted=True)})
    return model, {"batch_size": 2 if tiny else 32}, spec


def ddpm_cifar10(tiny: bool) -> tuple[dict, dict, DataSpec]:
    side = 8 if tiny else 32
    network = UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.1)
    return {"network": network} if tiny else {}, {"batch_size": 2 if tiny else 128}, images(side, 3)


def dit_s2_latent(tiny: bool) -> tuple[dict, dict, DataSpec]:
    """In the place of latents, images of their shape; the step knows no first stage."""
    network = {"network": DiTConfig(patch=2, layers=2, width=32, heads=2)} if tiny else {}
    spec = images(8 if tiny else 32, 4, 10 if tiny else 1000)
    return {"space": Pixels(), "variance": "large"} | network, {"batch_size": 2 if tiny else 256}, spec


def dcgan_celeba64(tiny: bool) -> tuple[dict, dict, DataSpec]:
    model = {"network": DCGAN(4, 4), "latent": 8} if tiny else {}
    return model, {"batch_size": 2 if tiny else 128}, images(16 if tiny else 64, 3)


def vae_mnist(tiny: bool) -> tuple[dict, dict, DataSpec]:
    model = {"network": ConvAutoencoder(widths=(4, 8)), "latent": 4} if tiny else {}
    return model, {"batch_size": 2 if tiny else 64}, images(28, 1, 10)


RECIPES: dict[str, Callable] = {
    f.__name__: f for f in (gpt2_124m, ddpm_cifar10, dit_s2_latent, dcgan_celeba64, vae_mnist)
}
NAMES = tuple(RECIPES)


def images(side: int, channels: int, classes: int = 0) -> DataSpec:
    label = {"label": Label(classes)} if classes else {}
    return DataSpec({"image": Image(side, side, channels)} | label)


def subject(name: str, tiny: bool = False) -> Subject:
    model, data, spec = RECIPES[name](tiny)
    recipe = load_experiment(name)
    return Subject(
        name,
        dataclasses.replace(
            recipe,
            model=dataclasses.replace(recipe.model, **model),
            data=dataclasses.replace(recipe.data, **data),
            train=dataclasses.replace(recipe.train, precision="bfloat16", grad_accumulation=1),
        ),
        spec,
    )
