"""Quantiles of a discriminator's logits over a validation set, from a histogram that batches and devices add up."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models.base import Array, Term

__all__ = ["histogram", "judged", "quantiles", "verdict"]

BINS = 96
EDGES = np.sinh(np.linspace(-8.0, 8.0, BINS + 1))  # fine near 0, and up to 1,500
SHARE = "logits/"  # starts the names of the bins' shares
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def verdict(real_logit_B: Array, fake_logit_B: Array, boundary: float | None = 0.0) -> dict[str, Array]:
    """The logits and, where a logit above `boundary` means "real", how many of each kind are recognized."""
    verdict = {"real_logit": real_logit_B, "fake_logit": fake_logit_B}
    if boundary is not None:
        verdict["real_accuracy"] = (real_logit_B > boundary).astype(jnp.float32)
        verdict["real_sign"] = jnp.sign(real_logit_B - boundary)  # r_t of ADA (arXiv:2006.06676, equation 1)
        verdict["fake_accuracy"] = (fake_logit_B < boundary).astype(jnp.float32)
    return verdict


def judged(real_logit_B: Array, fake_logit_B: Array, weight_B: Array, boundary: float | None = 0.0) -> dict[str, Term]:
    """The means of `verdict`, and both histograms: for `evaluate`."""
    values = verdict(real_logit_B, fake_logit_B, boundary)
    terms = {name: Term.mean(value_B, weight_B) for name, value_B in values.items()}
    return terms | histogram("real_logit", real_logit_B, weight_B) | histogram("fake_logit", fake_logit_B, weight_B)


def histogram(name: str, logit_B: Array, weight_B: Array) -> dict[str, Term]:
    """The share of logits in each bin: for `evaluate`."""
    place_B = jnp.clip(jnp.floor((jnp.arcsinh(logit_B) + 8.0) * (BINS / 16.0)), 0, BINS - 1).astype(jnp.int32)
    hot_BN = jax.nn.one_hot(place_B, BINS)
    return {f"{SHARE}{name}/{i}": Term.mean(hot_BN[:, i], weight_B) for i in range(BINS)}


def quantiles(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics with NAME_p10, NAME_p50 and NAME_p90 in place of the shares: for `finalize`.

    A quantile lies where the line through its bin's ends says; logits beyond the bins count as in the last ones.
    """
    kept = {name: value for name, value in metrics.items() if not name.startswith(SHARE)}
    names = dict.fromkeys(name.split("/")[1] for name in metrics if name.startswith(SHARE))
    for name in names:
        below = np.cumsum([0.0, *(metrics[f"{SHARE}{name}/{i}"] for i in range(BINS))])
        for suffix, share in QUANTILES.items():
            i = int(np.clip(np.searchsorted(below, share), 1, BINS))
            within = (share - below[i - 1]) / max(below[i] - below[i - 1], math.ulp(1.0))
            kept[f"{name}_{suffix}"] = float(EDGES[i - 1] + within * (EDGES[i] - EDGES[i - 1]))
    return kept
