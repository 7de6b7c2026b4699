"""Every system of the suite. Importing it loads jax, flax, optax and numpy, and nothing else."""

from genjax.models.base import DataSpec, LossOutput, Model, SampleOptions, Turn
from genjax.models.denoisers import DiTConfig, UNetConfig, dit
from genjax.models.diffusion import Diffusion
from genjax.models.gan import GAN
from genjax.models.gpt import GPT
from genjax.models.latent_diffusion import LatentDiffusion
from genjax.models.vae import VAE

SYSTEMS: dict[str, type[Model]] = {}


def register(system: type[Model]) -> type[Model]:
    """Makes a system known by its class name, so that runs of it can be restored; usable as a decorator."""
    SYSTEMS[system.__name__] = system
    return system


for _system in (VAE, GAN, GPT, Diffusion, LatentDiffusion):
    register(_system)

__all__ = [
    "GAN",
    "GPT",
    "SYSTEMS",
    "VAE",
    "DataSpec",
    "DiTConfig",
    "Diffusion",
    "LatentDiffusion",
    "LossOutput",
    "Model",
    "SampleOptions",
    "Turn",
    "UNetConfig",
    "dit",
    "register",
]
