"""What systems of images share: the fields `image_shape`, `conditional` (on the label), `classes`; their batches."""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.models.base import Array, Batch, Model, require_agreement
from genjax.spec import DataSpec, Field, Image, Label, require

__all__ = ["expected_fields", "images_of", "label_of", "with_fields"]

AnyModel = TypeVar("AnyModel", bound=Model)


def expected_fields(model: Model) -> dict[str, Field]:
    """The fields of the data as far as the model tells: `Model.expects`."""
    image = {"image": Image(*model.image_shape)} if model.image_shape else {}
    label = {"label": Label(model.classes)} if model.conditional and model.classes else {}
    return image | label


def with_fields(model: AnyModel, spec: DataSpec) -> AnyModel:
    """The model with image_shape, conditional (None = if there are labels) and classes (0 = unconditional) of the data.

    Raises:
      UserError: the data has no images, or none of the labels asked for, or the model was given other numbers.
    """
    system = type(model).__name__
    shape = require(spec, "image", Image, system).shape
    conditional = model.conditional
    if conditional is None:
        conditional = isinstance(spec.fields.get("label"), Label)
    classes = require(spec, "label", Label, f"a conditional {system}").classes if conditional else 0
    require_agreement(model, image_shape=shape, **({"classes": classes} if conditional else {}))
    return dataclasses.replace(model, image_shape=shape, conditional=conditional, classes=classes)


def images_of(batch: Batch, name: str = "image") -> Array:
    """The images (B, H, W, C) of a batch, those of the field `name`, for `loss` and `evaluate`.

    Raises:
      UserError: they are integers; channels come first, as in PyTorch; or they are beyond [-1, 1], which shows outside
        of `jax.jit` only.
    """
    image = batch[name]
    if image.ndim != 4 or (image.shape[1] in (1, 3) and image.shape[-1] > 4):
        raise UserError(f"the batch's images have the shape {image.shape}: give (B, H, W, C), channels last")
    cure = "give float32 in [-1, 1], which is x / 127.5 - 1 of 8-bit pixels"
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise UserError(f"the batch's images are {image.dtype}: {cure}")
    if not isinstance(image, jax.core.Tracer) and (largest := np.abs(np.asarray(image)).max()) > 1.001:
        raise UserError(f"the batch's images reach {largest:g}: {cure}")
    return image


def label_of(model: Model, batch: Batch) -> Array | None:
    """The labels (B,) of a conditional model's batch or conditions; None for another model.

    Raises:
      UserError: the labels are not there.
    """
    if not model.conditional:
        return None
    if "label" not in batch:
        raise UserError(f"a conditional {type(model).__name__} needs a label for every image, and none was given")
    return batch["label"]
