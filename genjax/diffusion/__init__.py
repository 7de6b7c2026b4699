"""Diffusion and flow matching, in parts that go together: process, target, sampler, guidance, likelihood.

Everything is a Gaussian path x_t = alpha_t x0 + sigma_t eps (process.py), and every formulation speaks through one
denoiser D(x; level), the estimate of x0 (ode.py). The network is not here: a denoiser is any function.

    process = DDPM("cosine")
    check(process, "heun", 20)
    grid = process.grid(20)
    x = start(grid, key, index_B, (32, 32, 3))
    images, _ = sample(denoise, x, grid, process=process, sampler="heun", key=key, index_B=index_B)
"""

from genjax.diffusion.ddpm import DDPM
from genjax.diffusion.edm import EDM
from genjax.diffusion.flow import Flow
from genjax.diffusion.guidance import guided
from genjax.diffusion.inpainting import replace_known, resampled
from genjax.diffusion.likelihood import dequantize, likelihood_grid, ode_bits_per_dim, vlb_term, vlb_terms
from genjax.diffusion.ode import Denoise, Estimate, clipped, invert
from genjax.diffusion.process import Level, Process, diffuse, expand
from genjax.diffusion.samplers import SAMPLERS, check, least_end, sample, start
from genjax.diffusion.steps import Churn
from genjax.diffusion.target import TARGETS, WEIGHTINGS

__all__ = [
    "DDPM",
    "EDM",
    "SAMPLERS",
    "TARGETS",
    "WEIGHTINGS",
    "Churn",
    "Denoise",
    "Estimate",
    "Flow",
    "Level",
    "Process",
    "check",
    "clipped",
    "dequantize",
    "diffuse",
    "expand",
    "guided",
    "invert",
    "least_end",
    "likelihood_grid",
    "ode_bits_per_dim",
    "replace_known",
    "resampled",
    "sample",
    "start",
    "vlb_term",
    "vlb_terms",
]
