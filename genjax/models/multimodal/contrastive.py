"""CLIP's loss (Radford et al. 2021, arXiv:2103.00020, figure 3), and how well one modality finds the other."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models.base import Array
from genjax.nn.sharding import replica_axis

__all__ = ["clip_loss", "recalls"]

AMONG = (1, 5, 10)  # k of R@k


def clip_loss(image_BE: Array, caption_BE: Array, scale: Array) -> Array:
    """(B,) nats: the mean of -log p(its caption | picture) and -log p(its picture | caption).

    Both are distributions over the whole batch, that of all replicas: p is the softmax of `scale` times the cosines.

    Args:
      image_BE, caption_BE: rows of length 1, of pairs; under pmap those of this replica.
      scale: (), one over the temperature.
    """
    own_B, images, captions = jnp.arange(len(image_BE)), image_BE, caption_BE
    if axis := replica_axis():
        images, captions = (jax.lax.all_gather(x, axis, tiled=True) for x in (images, captions))
        own_B += jax.lax.axis_index(axis) * len(image_BE)

    def nats(query_BE: Array, key_NE: Array) -> Array:
        log_BN = jax.nn.log_softmax(scale * query_BE @ key_NE.T)
        return -jnp.take_along_axis(log_BN, own_B[:, None], axis=1)[:, 0]

    return (nats(image_BE, captions) + nats(caption_BE, images)) / 2


def recalls(image_NE: np.ndarray, caption_NE: np.ndarray, caption_NS: np.ndarray) -> dict[str, float]:
    """R@1, R@5 and R@10 of N pairs in both directions, on the host.

    Pictures may have the same caption. A picture is looked up among the different captions; a caption, once each, among
    all pictures, and each of its own is right.
    """
    _, first_C, caption_N = np.unique(caption_NS, axis=0, return_index=True, return_inverse=True)
    caption_N = caption_N.reshape(-1)
    score_NC = image_NE @ caption_NE[first_C].T
    right_NC = caption_N[:, None] == np.arange(len(first_C))
    own_N1 = score_NC[np.arange(len(image_NE)), caption_N][:, None]
    best_C = np.where(right_NC, score_NC, -np.inf).max(0)
    before = {
        "image_to_caption": ((score_NC >= own_N1) & ~right_NC).sum(1),  # the ranks of what is looked for, from 0
        "caption_to_image": ((score_NC >= best_C) & ~right_NC).sum(0),
    }
    return {f"{name}_r{k}": float((rank < k).mean()) for name, rank in before.items() for k in AMONG}
