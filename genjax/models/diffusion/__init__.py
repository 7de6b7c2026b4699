"""Diffusion and flow models, of images or of the latents of a first stage."""

from genjax.models.diffusion.model import Diffusion
from genjax.models.diffusion.options import DiffusionOptions
from genjax.models.diffusion.space import KL_F8, Latents, Pixels, Space

__all__ = ["KL_F8", "Diffusion", "DiffusionOptions", "Latents", "Pixels", "Space"]
