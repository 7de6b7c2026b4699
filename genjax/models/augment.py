"""Non-leaking augmentation: images are turned, scaled and moved in training, and the network is told what was done.

Told that nothing was, it makes images as the data has them. Karras et al. 2022 (arXiv:2206.00364, appendix F.2).
"""

import jax
import jax.numpy as jnp

from genjax.nn import noise
from genjax.nn.warp import compose, rotation, scaling, translation, warp

__all__ = ["LABELS", "augmented"]

Array = jax.Array

LABELS = 9  # numbers that describe what was done to an image
OCTAVES = 0.2  # standard deviation of the logarithms to base 2 of both scalings
SHIFT = 0.125  # standard deviation of translations, of the image's size


def augmented(image_BHWC: Array, key: Array, index_B: Array, probability: float) -> tuple[Array, Array]:
    """(B, H, W, C) and (B, LABELS): mirrored half of the time, the rest each with the probability, as the table says.

    In the paper's order (table 6): mirrored left to right, and upside down (half of the probability); scaled; turned
    by any angle; stretched in one direction and shrunk across it, of any angle half of the time; moved.
    """
    coin_key, normal_key, angle_key = jax.random.split(key, 3)
    coin = noise.uniform(coin_key, index_B, (8,)).T
    scale_B, stretch_B, right_B, down_B = noise.normal(normal_key, index_B, (4,)).T
    turn_B, along_B = (2 * noise.uniform(angle_key, index_B, (2,)).T - 1) * jnp.pi

    flip_B, upset_B = coin[0] < 0.5, (coin[1] < 0.5) & (coin[2] < probability)
    scale_B, turn_B, stretch_B, right_B, down_B = (
        jnp.where(coin[i] < probability, x, 0.0)
        for i, x in ((3, scale_B), (4, turn_B), (5, stretch_B), (6, right_B), (6, down_B))
    )
    along_B = jnp.where(coin[7] < 0.5, along_B, 0.0)

    def flipped(image: Array, axis: int, which_B: Array) -> Array:
        return jnp.where(which_B[:, None, None, None], jnp.flip(image, axis), image)

    height, width = image_BHWC.shape[1:3]
    smaller_B, narrower_B = jnp.exp2(-OCTAVES * scale_B), jnp.exp2(-OCTAVES * stretch_B)
    back_B33 = compose(  # from a point of the result to where it comes from
        scaling(smaller_B, smaller_B),
        rotation(turn_B),
        rotation(-along_B),
        scaling(narrower_B, 1 / narrower_B),
        rotation(along_B),
        translation(-SHIFT * width * right_B, -SHIFT * height * down_B),
    )
    image = warp(flipped(flipped(image_BHWC, 2, flip_B), 1, upset_B), back_B33)
    turned = jnp.cos(turn_B) - 1, jnp.sin(turn_B)
    stretched = stretch_B * jnp.cos(along_B), stretch_B * jnp.sin(along_B)
    labels = flip_B, upset_B, scale_B, *turned, *stretched, right_B, down_B
    return image, jnp.stack([x.astype(jnp.float32) for x in labels], axis=-1)
