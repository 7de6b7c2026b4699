"""How many bits a dimension of an image costs under a diffusion model: DDPM's bound, and the ODE's likelihood."""

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion import Denoise, Level, Process, clipped, diffuse, likelihood
from genjax.errors import UsageError
from genjax.models.base import Array
from genjax.models.diffusion.learning import before
from genjax.nn import noise

if TYPE_CHECKING:
    from genjax.models.diffusion.model import Diffusion

__all__ = ["bound", "check", "finalize", "level_shares", "per_dim"]

# Few steps of the ODE promise too much: of the recipe ddpm_digits, in bits per dimension,
# 2: 3.78, 5: 4.38, 10: 4.72, 20: 4.85, 50: 4.90, 100: 4.91.
LEAST_STEPS = 20

BOUND, SQUARE, ERROR = "vlb_bits_per_dim", "vlb_bits_per_dim_square", "vlb_bits_per_dim_error"


def check(likelihood_steps: int) -> None:
    """Raises UsageError for a number of steps that measures no likelihood."""
    if likelihood_steps and likelihood_steps < LEAST_STEPS:
        raise UsageError(
            f"Diffusion: likelihood_steps {likelihood_steps} must be 0, for none, or at least {LEAST_STEPS}: fewer "
            "promise too much"
        )


def per_dim(
    model: "Diffusion", denoise: Denoise, x0: Array, u_B: Array, key: Array, index_B: Array
) -> dict[str, Array]:
    """(B,) bits per dimension by name: the bound where the process has a posterior, with its square for the standard
    error that `finalize` makes; the ODE's with `likelihood_steps`, whose number the name carries.
    """
    noise_key, dequantize_key, probe_key = jax.random.split(key, 3)
    values = {}
    if model.process.posterior:
        values[BOUND] = bound(model, clipped(denoise), x0, u_B, noise_key, index_B)
        values[SQUARE] = jnp.square(values[BOUND])
    if model.likelihood_steps:
        x = likelihood.dequantize(x0, dequantize_key, index_B)
        values[f"ode{model.likelihood_steps}_bits_per_dim"] = likelihood.ode_bits_per_dim(
            denoise, x, model.likelihood_steps, process=model.process, key=probe_key, index_B=index_B
        )
    return values


def bound(model: "Diffusion", denoise: Denoise, x0: Array, u_B: Array, key: Array, index_B: Array) -> Array:
    """(B,) unbiased estimates of the bound (Ho et al. 2020, eq. 5) from two levels an example.

    L_0, the decoder's term, is part of every estimate. u in [0, 1) chooses one of the other levels, which stands for
    all of them: with u spread evenly over the batch, so are the levels, each as often as its share of the bound.
    """
    process = model.process
    step_key, decoder_key = jax.random.split(key)

    def term(t_B: Array, key: Array) -> Array:
        level = process.level(t_B)
        x = diffuse(level, x0, noise.normal(key, index_B, x0.shape[1:]))
        estimate = denoise(x, level, jnp.zeros_like(x))
        return likelihood.vlb_term(x0, estimate, level, *before(model, level), model.variance)

    shares = level_shares(process)
    number_B = jnp.searchsorted(jnp.asarray(np.cumsum(shares)[:-1], jnp.float32), u_B, side="right")
    share_B = jnp.asarray(shares, jnp.float32)[number_B]
    t_B = number_B + 1.0
    top = Level(*(np.float32(values[0]) for values in process.grid(process.steps)))
    steps_B, decoder_B = term(t_B, step_key) / share_B, term(jnp.zeros_like(t_B), decoder_key)
    return likelihood.vlb_prior(x0, top) + steps_B + decoder_B


def level_shares(process: Process) -> np.ndarray:
    """(T - 1,) probabilities of the levels 1 .. T - 1: roughly their share of the bound, which the first few make up.

    Four fifths of it are the terms of Gaussian data of standard deviation 1/2, whose difference between two levels is
    that of log(1 + snr / 4); the rest is even, so that no level's weight is large where a model does worse than that.
    """
    level = process.level(np.arange(process.steps))
    information = np.log1p((level.alpha / level.sigma) ** 2 / 4)
    terms = information[:-1] - information[1:]
    return 0.8 * terms / terms.sum() + 0.2 / len(terms)


def finalize(metrics: dict[str, float]) -> dict[str, float]:
    """The mean square of the estimates becomes the standard error of their mean.

    It is that of independent draws, which evenly spread levels stay below.
    """
    metrics = dict(metrics)
    if SQUARE in metrics:
        variance = max(metrics.pop(SQUARE) - metrics[BOUND] ** 2, 0.0)
        metrics[ERROR] = math.sqrt(variance / metrics["count"])
    return metrics
