"""Sinusoids: of the noise level and of positions in the plane. Both are fixed, not learned."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError

__all__ = ["positions_2d", "sinusoids"]

Array = jax.Array


def sinusoids(value_B: Array, features: int, *, ddpm: bool = False) -> Array:
    """(B, features) float32: cosines, then sines, of value * 10000^(-i / half) for i = 0 .. half - 1.

    ADM's and DiT's released code. DDPM's, with `ddpm`, has the sines first and divides by half - 1. An odd number of
    features ends in a zero.
    """
    half = features // 2
    divisor = max(half - 1, 1) if ddpm else half
    angle = value_B.astype(jnp.float32)[:, None] * 10000.0 ** (-jnp.arange(half, dtype=jnp.float32) / divisor)
    waves = [jnp.sin(angle), jnp.cos(angle)] if ddpm else [jnp.cos(angle), jnp.sin(angle)]
    return jnp.pad(jnp.concatenate(waves, axis=-1), ((0, 0), (0, features % 2)))


def positions_2d(height: int, width: int, features: int) -> np.ndarray:
    """(height * width, features) float32, rows of the image first: half the features for the column, half for the row.

    Each half is the sines, then the cosines, of position * 10000^(-4 i / features). DiT's released code, which
    has the column first. Raises UsageError if 4 does not divide `features`.
    """
    if features % 4:
        raise UsageError(f"2-D positions need a width that 4 divides, not {features}")
    frequency = 10000.0 ** (-np.arange(features // 4) / (features // 4))
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    angles = [position.reshape(-1, 1) * frequency for position in (column, row)]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate(waves, axis=-1).astype(np.float32)
