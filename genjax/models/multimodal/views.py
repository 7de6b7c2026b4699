"""What a VAE of several views knows of one view: how it is seen, how likely it is, what is drawn of it."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from genjax.models.base import Array
from genjax.models.images import images_of
from genjax.models.vae.likelihood import log_probability
from genjax.spec import Codes, Field, Image, Label, Real, Tokens

__all__ = ["canvas", "drawn", "is_view", "log_likelihood", "present", "seen"]

KINDS = (Image, Tokens, Label, Real)


def canvas(field: Field) -> tuple[int, int, int]:
    """(H, W, C) in which networks see a view, and draw it: a text is a picture of one-hot rows, a label one such row.

    After its end a text has one more symbol, the last one: that says how long it is.
    """
    if isinstance(field, Image):
        return field.shape
    if isinstance(field, Tokens):
        return (field.longest, field.vocabulary + 1, 1)
    if isinstance(field, Label):
        return (1, field.classes, 1)
    return (math.prod(field.shape), 1, 1)


def seen(name: str, field: Field, batch: Mapping[str, Array]) -> Array:
    """(B, *canvas) float32. Raises UserError for images that are not in [-1, 1]."""
    if isinstance(field, Image):
        return images_of(batch, name)
    values = batch[name]
    if isinstance(field, Tokens):
        length = batch.get(f"{name}_length", jnp.full(values.shape[0], values.shape[1]))
        values = jnp.where(jnp.arange(values.shape[1]) < length[:, None], values, field.vocabulary)
        shorter = ((0, 0), (0, field.longest - values.shape[1]))  # than the longest, as batches of buckets are
        values = jnp.pad(values, shorter, constant_values=field.vocabulary)
        return jax.nn.one_hot(values, field.vocabulary + 1)[..., None]
    if isinstance(field, Label):
        return jax.nn.one_hot(values, field.classes)[:, None, :, None]
    return values.reshape(len(values), *canvas(field))


def log_likelihood(field: Field, seen_BHWC: Array, output: tuple[Array, Array]) -> Array:
    """(B,) nats of a view, for the (outputs, log sigma) of its decoder: Gaussian with one learned deviation for
    pictures and numbers, categorical for each symbol of a text and for a label."""
    if isinstance(field, Image | Real):
        return log_probability("gaussian", seen_BHWC, *output)
    return (seen_BHWC * jax.nn.log_softmax(output[0], axis=2)).sum((1, 2, 3))


def drawn(name: str, field: Field, output_BHWC: Array) -> dict[str, Array]:
    """The arrays of a field of samples: the mean of a picture or of numbers, the likeliest text or label."""
    if isinstance(field, Image):
        return {name: jnp.clip(output_BHWC, -1, 1)}
    if isinstance(field, Real):
        return {name: output_BHWC.reshape(-1, *field.shape)}
    symbol_BT = output_BHWC[..., 0].argmax(2)
    if isinstance(field, Label):
        return {name: symbol_BT[:, 0]}
    ended_BT = jnp.cumsum(symbol_BT == field.vocabulary, axis=1) > 0
    length = {f"{name}_length": jnp.maximum((~ended_BT).sum(1), 1)} if field.ragged else {}
    return {name: jnp.where(ended_BT, 0, symbol_BT), **length}


def present(name: str, field: Field, batch: Mapping[str, Array]) -> Array:
    """(B,) bool: whether a row has this view."""
    there = batch.get(f"{name}_present") if field.optional else None
    return jnp.ones(len(batch["index"]), bool) if there is None else there


def is_view(field: Field) -> bool:
    """Whether fields of this kind can be views: images, texts, labels, numbers."""
    return isinstance(field, KINDS) and not isinstance(field, Codes) and not getattr(field, "shifted", False)
