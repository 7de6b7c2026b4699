"""A recipe's data without the data: its description and the shapes of a batch, for plans on a machine that has none."""

import dataclasses

import jax
import jax.numpy as jnp

from genjax import data
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.models.latent_diffusion import LatentDiffusion
from genjax.spec import DataSpec

# (shape, classes) of data that a recipe may name; None where images have no label.
IMAGES = {
    "digits": ((8, 8, 1), 10),
    "tfds:mnist": ((28, 28, 1), 10),
    "tfds:fashion_mnist": ((28, 28, 1), 10),
    "tfds:cifar10": ((32, 32, 3), 10),
    "tfds:celeb_a": ((218, 178, 3), None),
}
TEXT = {"byte": 256, "gpt2": 50257}


def spec_without_data(experiment: Experiment) -> DataSpec:
    """The data's description from the recipe alone; the data is opened only where the recipe does not say enough.

    Raises UserError, naming the model's fields to give, where the data is not there either.
    """
    model, config = experiment.model, experiment.data
    fields = {field.name for field in dataclasses.fields(model)}
    names = ("image_shape", "classes", "latent_shape", "latent_std", "vocabulary", "context")
    given = {name: getattr(model, name) for name in names if name in fields}
    if hasattr(model, "image_shape") and config.path is None and config.source in IMAGES:
        (height, width, channels), classes = IMAGES[config.source]
        size = config.image_size
        shape = (size or height, size or width, config.channels or channels)
        given |= {"image_shape": given["image_shape"] or shape, "classes": given["classes"] or classes}
    if hasattr(model, "vocabulary"):
        kind, _, argument = config.tokenizer.partition(":")
        known = int(argument) if kind == "bpe" and argument.isdecimal() else TEXT.get(kind)
        given |= {"vocabulary": given["vocabulary"] or known, "context": config.context}
    spec = DataSpec(**given)
    try:
        model = model.resolve(spec)
        if isinstance(model, LatentDiffusion) and str(config.path).endswith(".npz"):  # what `genjax encode` writes
            spec = dataclasses.replace(spec, latent_shape=model.shape)
        return spec
    except UserError as lacking:
        try:
            return data.load(config).spec
        except UserError as error:
            lacks = [name for name, value in given.items() if not value]
            fields = [f"--model.{name.replace('_', '-')}" for name in lacks]
            if not fields:
                raise lacking from None
            raise UserError(f"{error}; without the data, give {' and '.join(fields)}") from error


def abstract_batch(spec: DataSpec, batch_size: int, sharding) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch, as `genjax.models.base` describes it."""
    fields = {"index": ((), jnp.int32)}
    if spec.latent_shape:
        height, width, channels = spec.latent_shape
        fields["latent"] = ((height, width, 2 * channels), jnp.float32)
    elif spec.image_shape:
        fields["image"] = (spec.image_shape, jnp.float32)
    if spec.classes:
        fields["label"] = ((), jnp.int32)
    if spec.context:
        fields["tokens"] = ((spec.context + 1,), jnp.int32)
    return {
        name: jax.ShapeDtypeStruct((batch_size, *shape), dtype, sharding=sharding)
        for name, (shape, dtype) in fields.items()
    }
