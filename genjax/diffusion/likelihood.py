"""Likelihoods in bits per dimension: exact by the probability-flow ODE, and DDPM's variational bound.

Images are in [-1, 1] with 256 values a channel, 1 / 127.5 apart. A density p over them counts
-log2 p(x) / D + log2(127.5) bits per dimension. Averaged over uniform dequantization, x + (u - 1/2) / 127.5, that
bounds the bits of the discrete image from above (Theis et al. 2016, eq. 3).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion.ode import Denoise, Estimate, checked, rows
from genjax.diffusion.process import Level, Process, diffuse, expand
from genjax.diffusion.steps import posterior_variances
from genjax.errors import UsageError
from genjax.nn import noise

__all__ = [
    "Bound",
    "dequantize",
    "likelihood_grid",
    "ode_bits_per_dim",
    "variance_floor",
    "vlb_prior",
    "vlb_term",
    "vlb_terms",
]

Array = Any

MOST_NOISE = 100.0  # sigma / alpha where the ODE's prior begins: data in [-1, 1] moves it by 1e-4 nats a dimension


def dequantize(x_BHWC: Array, key: Array, index_B: Array) -> Array:
    """x + (u - 1/2) / 127.5: images of 256 values made continuous."""
    return x_BHWC + (noise.uniform(key, index_B, x_BHWC.shape[1:]) - 0.5) / 127.5


def likelihood_grid(process: Process, steps: int) -> Level:
    """(steps + 1,) levels from the process' least noise up, evenly spaced in log(sigma / alpha).

    The last is its largest, but at most MOST_NOISE: above, D is the mean of the data and the density is that of the
    noise; a flow, whose ratio is infinite there, and the cosine's last steps would take up most of the grid.
    """
    if steps < 2:
        raise UsageError(f"a likelihood by the ODE needs 2 steps or more, not {steps}")
    least, most = process.ratios
    return process.at(np.geomspace(least, min(most, MOST_NOISE), steps + 1))


def ode_bits_per_dim(
    denoise: Denoise, x_BHWC: Array, steps: int, *, process: Process, key: Array, index_B: Array, probes: int = 1
) -> Array:
    """(B,) bits per dimension of continuous x (see `dequantize`) under the model that the probability-flow ODE samples.

    Song et al. 2021 (score SDE), eq. 39-40: the change of variables along the ODE, the divergence estimated by
    Hutchinson's method with `probes` vectors of random signs for each example, kept along the path: unbiased in the
    divergence. From the least noise of `likelihood_grid`, where y = x (the density evaluated is that of the data with
    this little noise), to the most, where y is taken as N(0, h^2).

    In y = x_t / alpha and h = sigma / alpha, whatever the process, dy/dh = (y - D) / h. y is solved in h by Heun's
    method, exact where D is constant; the divergence, of y - D in log h, is integrated by the trapezoidal rule in log
    h, exact there too. Both keep their accuracy on steps that grow with h. Two evaluations a step.
    """
    denoise = checked(denoise)
    grid, batch, dims = likelihood_grid(process, steps), x_BHWC.shape[0], x_BHWC[0].size
    levels = rows(grid, x_BHWC.dtype)
    signs = jnp.where(noise.uniform(key, index_B, (probes, *x_BHWC.shape[1:])) < 0.5, -1.0, 1.0).astype(x_BHWC.dtype)

    def flow(y: Array, level: Level, previous: Array) -> tuple[Array, Array, Array]:
        """dy/d(log h) = y - D, D, and the divergence of the first (B,)."""

        def away(y: Array) -> tuple[Array, Array]:
            image = denoise(level.alpha * y, level, previous).image.astype(y.dtype)
            return y - image, image

        def along(v: Array) -> tuple[Array, Array, Array]:
            (value, image), (tangent, _) = jax.jvp(away, (y,), (v,))
            return value, image, jnp.sum((v * tangent).reshape(batch, -1), -1)

        values, images, divergences = jax.vmap(along, in_axes=1)(signs)
        return values[0], images[0], jnp.mean(divergences, 0)

    def step(carry, pair):
        y, previous, integral = carry
        begin, end = pair
        h, h_end = begin.sigma / begin.alpha, end.sigma / end.alpha
        first, image, divergence = flow(y, begin, previous)
        second, image, other = flow(y + (h_end - h) * first / h, end, image)
        y = y + (h_end - h) * (first / h + second / h_end) / 2
        return (y, image, integral + jnp.log(h_end / h) * (divergence + other) / 2), None

    pairs = Level(*(v[:-1] for v in levels)), Level(*(v[1:] for v in levels))
    zeros = jnp.zeros(batch, x_BHWC.dtype)
    (y, _, integral), _ = jax.lax.scan(step, (x_BHWC, jnp.zeros_like(x_BHWC), zeros), pairs)
    std = float(grid.sigma[-1] / grid.alpha[-1])
    log_prior = -0.5 * jnp.sum((y / std).reshape(batch, -1) ** 2, -1) - dims * np.log(std * np.sqrt(2 * np.pi))
    return -(log_prior + integral) / (dims * np.log(2)) + np.log2(127.5)


class Bound(NamedTuple):
    """The variational bound in bits per dimension (Ho et al. 2020, eq. 5), each (B,); their sum is the bound."""

    prior: Array  # L_T
    steps: Array  # the sum of L_1 .. L_{T-1}
    decoder: Array  # L_0

    @property
    def total(self) -> Array:
        return self.prior + self.steps + self.decoder


def vlb_terms(
    denoise: Denoise, x0_BHWC: Array, grid: Level, *, key: Array, index_B: Array, variance: str = "small"
) -> Bound:
    """The bound of ancestral sampling ("ddpm" with this variance) on a DDPM's `grid`, an evaluation of D for each step.

    The grid of all steps is the paper's; a shorter one bounds what sampling with it draws. x0 has the 256 values.
    """
    denoise, dtype = checked(denoise), x0_BHWC.dtype
    floor = variance_floor(grid)
    start, end = (rows(Level(*(values[which] for values in grid)), dtype) for which in (slice(-1), slice(1, None)))
    top = Level(*(np.asarray(values[0], dtype) for values in grid))

    def step(_, row):
        number, begin, stop = row
        x = diffuse(begin, x0_BHWC, noise.normal(jax.random.fold_in(key, number), index_B, x0_BHWC.shape[1:]))
        estimate = denoise(x.astype(dtype), begin, jnp.zeros_like(x0_BHWC))
        return None, vlb_term(x0_BHWC, estimate, begin, stop, floor, variance)

    _, terms = jax.lax.scan(step, None, (np.arange(len(grid.t) - 1), start, end))
    return Bound(vlb_prior(x0_BHWC, top), jnp.sum(terms[:-1], 0), terms[-1])


def vlb_prior(x0_BHWC: Array, top: Level) -> Array:
    """(B,) L_T in bits per dimension: the divergence of q(x_T | x0) at the noisiest level from N(0, 1)."""
    # 1 - sigma^2 is alpha^2
    return _bits(0.5 * ((top.alpha * x0_BHWC) ** 2 - top.alpha**2 - np.log1p(-(top.alpha**2))))


def variance_floor(grid: Level) -> float:
    """The least positive posterior variance, that of the step before the last: it stands for the last one's, zero.

    As in Ho et al.'s and Nichol & Dhariwal's code, for the decoder's variance and the lower end of a learned one.
    """
    begin, end = (Level(*(values[which] for values in grid)) for which in (slice(-1), slice(1, None)))
    small, large = posterior_variances(begin, end)
    return float(small[-2] if len(small) > 1 else large[-1])


def vlb_term(x0: Array, estimate: Estimate, start: Level, end: Level, floor: float, variance: str = "learned") -> Array:
    """(B,) one term of the bound, in bits per dimension: the step from level `start` to `end`, each () or (B,).

    `estimate` is the denoiser's at x drawn at `start`. Where `end` is clean it is L_0, -log p(x0 | x) of the
    discretized Gaussian (Ho et al. 2020, eq. 13); elsewhere the Kullback-Leibler divergence L_{t-1} (eq. 7-8). `floor`
    is the grid's `variance_floor`. To train a learned variance only, stop the gradient of `estimate.image` (Nichol &
    Dhariwal 2021, section 3.1).
    """
    start, end = expand(start, x0.ndim), expand(end, x0.ndim)
    small, large = posterior_variances(start, end)
    decodes = end.sigma == 0
    log_small, log_large = jnp.log(jnp.where(decodes, floor, small)), jnp.log(large)
    if variance == "learned":
        v = estimate.variance.astype(x0.dtype)
        log_variance = v * log_large + (1 - v) * log_small
    else:  # "large" decodes with the floor too, as Ho et al.'s code does
        log_variance = jnp.where(decodes | (variance == "small"), log_small, log_large)
    # both means are alpha' (1 - q^2) x0 + (the same) x, the model's with D in place of x0
    image = estimate.image.astype(x0.dtype)
    error = end.alpha * large / start.sigma**2 * (x0 - image)
    divergence = 0.5 * (log_variance - log_small + jnp.exp(log_small - log_variance) - 1) + 0.5 * error**2 * jnp.exp(
        -log_variance
    )
    return _bits(jnp.where(decodes, -_log_discretized(x0, image, log_variance / 2), divergence))


def _log_discretized(x: Array, mean: Array, log_std: Array) -> Array:
    """log of a Gaussian's mass within half a value of x; -1 and 1 take what lies beyond (Ho et al. 2020, eq. 13)."""
    scale = jnp.exp(-log_std)
    upper = jnp.where(x > 0.999, 1e4, (x - mean + 1 / 255) * scale)
    lower = jnp.where(x < -0.999, -1e4, (x - mean - 1 / 255) * scale)
    # the mass between (lower, upper) is that between (-upper, -lower): the lower tail is the one that keeps its digits
    flip = lower > 0
    upper, lower = jnp.where(flip, -lower, upper), jnp.where(flip, -upper, lower)
    log_upper = jax.scipy.special.log_ndtr(upper)
    share = -jnp.expm1(jax.scipy.special.log_ndtr(lower) - log_upper)
    return log_upper + jnp.log(jnp.maximum(share, 1e-12))


def _bits(nats: Array) -> Array:
    """(B, ...) nats of each dimension -> (B,) bits per dimension."""
    return jnp.mean(nats.reshape(nats.shape[0], -1), -1) / np.log(2)
