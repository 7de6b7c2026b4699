"""What systems that turn pictures into others have in common: the options of a sample, and the names of fields."""

import dataclasses
from typing import Literal, Self, TypeVar

import numpy as np

from genjax.errors import UsageError
from genjax.models.base import Given, Model, require_agreement
from genjax.models.options import SampleOptions
from genjax.spec import DataSpec, Field, Image, require

__all__ = ["DOMAINS", "OTHER", "Direction", "PictureOptions", "expected_domains", "with_domains"]

Direction = Literal["AtoB", "BtoA"]
DOMAINS = ("a", "b")
OTHER = {"a": "b", "b": "a"}

AnyModel = TypeVar("AnyModel", bound=Model)


def expected_domains(model: Model) -> dict[str, Field]:
    """Both domains as far as `model.shape` tells: `Model.expects`."""
    return {f"image_{x}": Image(*model.shape) for x in DOMAINS} if model.shape else {}


def with_domains(model: AnyModel, spec: DataSpec) -> AnyModel:
    """The model with the shape of the data, which both domains share.

    Raises:
      UserError: a domain is missing, or the model was given another shape. UsageError: domains of different shapes, or
        pictures that the model's patch discriminator cannot take.
    """
    system = type(model).__name__
    shapes = [require(spec, f"image_{x}", Image, system).shape for x in DOMAINS]
    if shapes[0] != shapes[1]:
        raise UsageError(f"{system} needs domains of one size, not {shapes[0]} and {shapes[1]}: --data.image-size")
    require_agreement(model, shape=shapes[0])
    model.discriminator.check(*shapes[0][:2], system)
    return dataclasses.replace(model, shape=shapes[0])


@dataclasses.dataclass(frozen=True)
class PictureOptions(SampleOptions):
    """Without `path`, validation examples are turned. With it `genjax.evaluation.turned` makes them one by one."""

    path: str | None = None  # a folder of pictures of any size, or one of them: made into --out under their own names

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Raises UsageError where `path` asks for pictures of their own sizes, which no batch holds."""
        if self.path is not None:
            raise UsageError("--path: pictures of their own sizes are made one by one, by `genjax sample RUN --path`")
        return super().conditions(model, given, num)
