"""Every system of the suite. Importing it loads jax, flax, optax and numpy, and nothing else."""

from genjax.models.base import DataSpec, LossOutput, Model, SampleOptions, Turn
from genjax.models.gan import GAN
from genjax.models.gpt import GPT
from genjax.models.vae import VAE

SYSTEMS: dict[str, type[Model]] = {}


def register(system: type[Model]) -> type[Model]:
    """Makes a system known by its class name, so that runs of it can be restored; usable as a decorator."""
    SYSTEMS[system.__name__] = system
    return system


for _system in (VAE, GAN, GPT):
    register(_system)

__all__ = [
    "GAN",
    "GPT",
    "SYSTEMS",
    "VAE",
    "DataSpec",
    "LossOutput",
    "Model",
    "SampleOptions",
    "Turn",
    "register",
]
