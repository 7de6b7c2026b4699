"""What the players of a GAN pay for a logit."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.models.base import Array

__all__ = ["OBJECTIVES", "Objective", "squared_gradient"]


class Objective(NamedTuple):
    """What each player pays for a logit, and the logit above which an image passes as real."""

    real: Callable[[Array], Array]  # the discriminator, for a real image
    fake: Callable[[Array], Array]  # the discriminator, for a generated one
    generator: Callable[[Array], Array]
    boundary: float | None = 0.0  # None: a critic's score has no zero


OBJECTIVES = {
    # Goodfellow et al. 2014, section 3: binary cross-entropy, and -log D(G(z)) for the generator.
    "non-saturating": Objective(lambda x: nn.softplus(-x), nn.softplus, lambda x: nn.softplus(-x)),
    # Mao et al. 2017 (arXiv:1611.04076), equation 9: targets 1 (real) and 0 (fake), with the factor 1/2.
    "least-squares": Objective(
        lambda x: 0.5 * (x - 1.0) ** 2, lambda x: 0.5 * x**2, lambda x: 0.5 * (x - 1.0) ** 2, 0.5
    ),
    # Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), equations 16 and 17.
    "hinge": Objective(lambda x: nn.relu(1.0 - x), lambda x: nn.relu(1.0 + x), lambda x: -x),
    # Arjovsky et al. 2017 (arXiv:1701.07875), equations 2 and 3.
    "wasserstein": Objective(lambda x: -x, lambda x: x, lambda x: -x, None),
}


def squared_gradient(judge: Callable[[Array], Array], image_BHWC: Array) -> tuple[Array, Array]:
    """(B,) the logits that `judge` gives, and (B,) |gradient|^2 of each in its own image, as all penalties have it.

    `judge` must not mix examples.
    """
    logit_B, pull = jax.vjp(judge, image_BHWC)
    (gradient_BHWC,) = pull(jnp.ones_like(logit_B))
    return logit_B, (gradient_BHWC**2).sum((1, 2, 3))
