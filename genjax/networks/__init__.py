"""Whole networks, each with its configuration beside it."""

from genjax.networks.autoencoder import AutoencoderConfig, ConvAutoencoder, DenseAutoencoder
from genjax.networks.base import Denoiser
from genjax.networks.classifier import ConvClassifier
from genjax.networks.dit import DiTConfig, dit
from genjax.networks.gan import DCGAN, MLPGAN, GANConfig
from genjax.networks.patch import PatchGAN
from genjax.networks.perceptual import Perceptual
from genjax.networks.pix_unet import PixUNet
from genjax.networks.r3gan import R3GANConfig
from genjax.networks.resnet import ResNet
from genjax.networks.resnet_gan import ResNetGAN
from genjax.networks.song_unet import SongUNetConfig
from genjax.networks.spatial_autoencoder import SpatialAutoencoder
from genjax.networks.stylegan2 import StyleGAN2Config
from genjax.networks.unet import UNetConfig

__all__ = [
    "DCGAN",
    "MLPGAN",
    "AutoencoderConfig",
    "ConvAutoencoder",
    "ConvClassifier",
    "Denoiser",
    "DenseAutoencoder",
    "DiTConfig",
    "GANConfig",
    "PatchGAN",
    "Perceptual",
    "PixUNet",
    "R3GANConfig",
    "ResNet",
    "ResNetGAN",
    "SongUNetConfig",
    "SpatialAutoencoder",
    "StyleGAN2Config",
    "UNetConfig",
    "dit",
]
