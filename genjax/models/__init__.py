"""Every system of the suite. Importing it loads jax, flax, optax and numpy, and nothing else."""

from genjax.models.base import LossOutput, Model, SampleOptions, Term, Turn
from genjax.models.classifier import Classifier
from genjax.models.diffusion import KL_F8, Diffusion, Latents, Pixels
from genjax.models.gan import GAN, CycleGAN
from genjax.models.language import GPT, Translation
from genjax.models.vae import VAE
from genjax.networks import (
    DCGAN,
    MLPGAN,
    ConvAutoencoder,
    ConvClassifier,
    DenseAutoencoder,
    DiTConfig,
    PatchGAN,
    ResNet,
    SpatialAutoencoder,
    UNetConfig,
    dit,
)
from genjax.registry import register
from genjax.spec import DataSpec, Field, Image, Label, Latent, Mask, Real, Tokens, require

__all__ = [
    "DCGAN",
    "GAN",
    "GPT",
    "KL_F8",
    "MLPGAN",
    "VAE",
    "Classifier",
    "ConvAutoencoder",
    "ConvClassifier",
    "CycleGAN",
    "DataSpec",
    "DenseAutoencoder",
    "DiTConfig",
    "Diffusion",
    "Field",
    "Image",
    "Label",
    "Latent",
    "Latents",
    "LossOutput",
    "Mask",
    "Model",
    "PatchGAN",
    "Pixels",
    "Real",
    "ResNet",
    "SampleOptions",
    "SpatialAutoencoder",
    "Term",
    "Tokens",
    "Translation",
    "Turn",
    "UNetConfig",
    "dit",
    "register",
    "require",
]
