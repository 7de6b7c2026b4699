"""Generative adversarial networks (Goodfellow et al. 2014, arXiv:1406.2661): DCGAN and its common losses."""

from genjax.models.gan.augment import ADA, Augmentation, DiffAugment, RampedAugment
from genjax.models.gan.cut import CUT
from genjax.models.gan.cyclegan import CycleGAN, CycleGANOptions
from genjax.models.gan.infogan import InfoGAN, InfoGANOptions
from genjax.models.gan.model import GAN, GANOptions
from genjax.models.gan.pix2pix import Pix2Pix, Pix2PixOptions
from genjax.models.gan.r3gan import R3GAN
from genjax.models.gan.stylegan2 import StyleGAN2
from genjax.models.gan.stylegan2_sample import StyleGAN2Options
from genjax.models.gan.vaegan import VAEGAN, VAEGANOptions
from genjax.models.objectives import OBJECTIVES, Objective

__all__ = [
    "ADA",
    "CUT",
    "GAN",
    "OBJECTIVES",
    "R3GAN",
    "VAEGAN",
    "Augmentation",
    "CycleGAN",
    "CycleGANOptions",
    "DiffAugment",
    "GANOptions",
    "InfoGAN",
    "InfoGANOptions",
    "Objective",
    "Pix2Pix",
    "Pix2PixOptions",
    "RampedAugment",
    "StyleGAN2",
    "StyleGAN2Options",
    "VAEGANOptions",
]
