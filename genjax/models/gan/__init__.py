"""Generative adversarial networks (Goodfellow et al. 2014, arXiv:1406.2661): DCGAN and its common losses."""

from genjax.models.gan.cyclegan import CycleGAN, CycleGANOptions
from genjax.models.gan.model import GAN, GANOptions
from genjax.models.gan.objectives import OBJECTIVES, Objective

__all__ = ["GAN", "OBJECTIVES", "CycleGAN", "CycleGANOptions", "GANOptions", "Objective"]
