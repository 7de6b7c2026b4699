"""What a user may choose of a model of pictures and captions that goes both ways."""

import dataclasses
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from genjax.errors import UsageError
from genjax.models.base import Given
from genjax.models.multimodal.dalle_options import DrawOptions

if TYPE_CHECKING:
    from genjax.models.multimodal.crossmodal import CrossModal

__all__ = ["CrossModalOptions"]


@dataclasses.dataclass(frozen=True)
class CrossModalOptions(DrawOptions):
    """Captions are searched for, pictures are drawn. Without `image` or `prompt`, of validation examples."""

    direction: Literal["image-to-caption", "caption-to-image"] = "image-to-caption"
    image: tuple[str, ...] = ()  # image files to caption, in turn
    beams: int = 4  # of the search for a caption; 1 = always the likeliest token
    length_penalty: float = 0.6  # above 0 longer captions gain, below 0 shorter ones

    def __post_init__(self):
        super().__post_init__()
        if self.beams < 1:
            raise UsageError(f"--beams {self.beams}: must be at least 1")
        if self.prompt and self.source == "image":
            raise UsageError("--prompt: captions are turned into pictures by --direction caption-to-image")
        if self.image and self.source == "caption":
            raise UsageError("--image: pictures are captioned by --direction image-to-caption")

    @property
    def source(self) -> str:
        """The field that is given."""
        return self.direction.partition("-")[0]

    @property
    def count(self) -> int | None:
        return len(self.image) or None

    def conditions(self, model: "CrossModal", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        arrays, options = super().conditions(model, given, num)
        if self.image:
            read = [given.image(file, "--image", model.image_shape) for file in self.image]
            arrays["image"] = np.stack([read[n % len(read)] for n in range(num)])
        return arrays, dataclasses.replace(options, image=())
