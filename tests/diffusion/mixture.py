"""A mixture of Gaussians: the denoiser, the density and draws are known, so every sampler can be held to the truth."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genjax.diffusion import Estimate


@dataclasses.dataclass(frozen=True)
class Mixture:
    """sum_k weight_k N(mean_k, std_k^2 I) over images of this shape."""

    means: tuple[float, ...] = (-0.6, 0.5)  # times `direction`
    stds: tuple[float, ...] = (0.25, 0.35)
    weights: tuple[float, ...] = (0.4, 0.6)
    shape: tuple[int, int, int] = (1, 2, 1)

    @property
    def centers_KD(self) -> np.ndarray:
        dims = int(np.prod(self.shape))
        return np.asarray(self.means)[:, None] * (1 + 0.5 * np.cos(np.arange(dims)))

    def log_density_B(self, x_BHWC, alpha=1.0, sigma=0.0, keep_components=False):
        """Of alpha x0 + sigma eps."""
        x_BD = x_BHWC.reshape(x_BHWC.shape[0], 1, -1)
        var_K = alpha**2 * np.square(self.stds) + sigma**2
        square_BK = jnp.sum((x_BD - alpha * self.centers_KD) ** 2, -1) / var_K
        dims = x_BD.shape[-1]
        log_BK = jnp.log(jnp.asarray(self.weights)) - 0.5 * (square_BK + dims * jnp.log(2 * np.pi * var_K))
        return log_BK if keep_components else jax.nn.logsumexp(log_BK, -1)

    def denoise(self, x_BHWC, level, previous=None) -> Estimate:
        x_B1D = x_BHWC.reshape(x_BHWC.shape[0], 1, -1)
        share_BK = jax.nn.softmax(self.log_density_B(x_BHWC, level.alpha, level.sigma, keep_components=True), -1)
        var_K = np.square(self.stds)
        gain_K = level.alpha * var_K / (level.alpha**2 * var_K + level.sigma**2)
        mean_BKD = self.centers_KD + gain_K[:, None] * (x_B1D - level.alpha * self.centers_KD)
        return Estimate(jnp.sum(share_BK[..., None] * mean_BKD, 1).reshape(x_BHWC.shape).astype(x_BHWC.dtype))

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.weights), size=count, p=self.weights)
        x = self.centers_KD[which] + np.asarray(self.stds)[which, None] * rng.normal(
            size=(count, self.centers_KD.shape[1])
        )
        return x.reshape(count, *self.shape)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D)."""
        weights, centers = np.asarray(self.weights), self.centers_KD
        mean = weights @ centers
        spread = (weights[:, None] * (centers - mean)).T @ (centers - mean)
        return mean, spread + np.eye(len(mean)) * (weights @ np.square(self.stds))
