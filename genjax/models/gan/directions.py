"""What systems that turn pictures into others have in common: the options of a sample, and the names of fields."""

import dataclasses
from typing import Literal, Self

import numpy as np

from genjax.errors import UsageError
from genjax.models.base import Given, Model
from genjax.models.options import SampleOptions

__all__ = ["DOMAINS", "OTHER", "Direction", "PictureOptions"]

Direction = Literal["AtoB", "BtoA"]
DOMAINS = ("a", "b")
OTHER = {"a": "b", "b": "a"}


@dataclasses.dataclass(frozen=True)
class PictureOptions(SampleOptions):
    """Without `path`, validation examples are turned. With it `genjax.evaluation.turned` makes them one by one."""

    path: str | None = None  # a folder of pictures of any size, or one of them: made into --out under their own names

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Raises UsageError where `path` asks for pictures of their own sizes, which no batch holds."""
        if self.path is not None:
            raise UsageError("--path: pictures of their own sizes are made one by one, by `genjax sample RUN --path`")
        return super().conditions(model, given, num)
