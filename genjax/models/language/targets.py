"""What of a batch of text a language model learns, and how well it foresees it."""

import jax
import jax.numpy as jnp

from genjax.models.base import Array, Batch, Term
from genjax.nn.attention import Mask

__all__ = ["answered", "cross_entropy", "seen", "target_weight"]


def cross_entropy(logits_BTV: Array, target_BT: Array) -> Array:
    """(B, T) nats: -log softmax(logits)[target].

    The target's logit is a sum with one term, not a look-up: the gradient of a look-up is a scatter, for which a GPU
    writes the gradient of all logits twice in float32.
    """
    right_BTV = jnp.arange(logits_BTV.shape[-1]) == target_BT[..., None]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - jnp.where(right_BTV, logits_BTV, 0).sum(-1)


def seen(batch: Batch) -> Mask:
    """What each input of `tokens` sees: its own text up to itself."""
    segment_BT = batch.get("tokens_segment")
    return Mask(causal=True, segments_BT=None if segment_BT is None else segment_BT[:, :-1])


def target_weight(batch: Batch) -> Array:
    """(B, T) float32: 1 for the targets that count."""
    weight_BT = jnp.ones_like(batch["tokens"][:, 1:], jnp.float32)
    if "mask" in batch:
        weight_BT *= batch["mask"]
    if "tokens_answer" in batch:
        weight_BT *= batch["tokens_answer"][:, 1:]
    if "tokens_length" in batch:
        weight_BT *= jnp.arange(1, weight_BT.shape[1] + 1) < batch["tokens_length"][:, None]
    if "tokens_segment" in batch:
        weight_BT *= batch["tokens_segment"][:, 1:] == batch["tokens_segment"][:, :-1]
    return weight_BT


def answered(batch: Batch, logits_BTV: Array, nats_BT: Array, valid_B: Array) -> dict[str, Term]:
    """Of instructions, how many are answered right; {} of other texts.

    exact_match: the likeliest id, given those before it, is the answer's at all its places: the answer is what greedy
    search would have written. choice: the right text has the highest likelihood of a row's choices, which begin alike.
    """
    if "tokens_choice" in batch:
        segment_BTC = batch["tokens_segment"][:, 1:, None] == 1 + jnp.arange(batch["tokens_choice"].shape[1])
        counted_BTC = segment_BTC * target_weight(batch | {"tokens_answer": jnp.ones_like(batch["tokens"])})[..., None]
        nats_BC = jnp.where(segment_BTC.any(1), (nats_BT[..., None] * counted_BTC).sum(1), jnp.inf)
        right_B = jnp.take_along_axis(batch["tokens_choice"], jnp.argmin(nats_BC, axis=1)[:, None], axis=1)[:, 0]
        return {"choice": Term.mean(right_B, valid_B)}
    if "tokens_answer" not in batch or "tokens_segment" in batch:
        return {}
    right_BT = (jnp.argmax(logits_BTV, axis=-1) == batch["tokens"][:, 1:]) | (target_weight(batch) == 0)
    return {"exact_match": Term.mean(right_BT.all(1), valid_B)}
