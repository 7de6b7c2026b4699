"""What a user may choose when pictures are drawn from text."""

import dataclasses
import math
from typing import TYPE_CHECKING, Self

import numpy as np

from genjax.errors import UsageError, visible
from genjax.models.base import Given, LabelOptions, SampleOptions
from genjax.spec import Tokens

if TYPE_CHECKING:
    from genjax.models.base import Model

__all__ = ["DALLEOptions", "DrawOptions", "captions_of"]


@dataclasses.dataclass(frozen=True)
class DrawOptions(SampleOptions):
    """How a picture's ids are drawn. Without `prompt`, pictures are made from the captions of validation examples."""

    prompt: tuple[str, ...] = ()  # captions, in turn
    guidance: float = 1.0  # classifier-free; 1 = none
    temperature: float = 1.0  # 0 = always the likeliest
    top_k: int = 0  # only the k likeliest; 0 = all
    top_p: float = 1.0  # only the likeliest that together reach this probability; 1 = all

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UsageError("--top-k must not be negative, and --top-p above 0 and at most 1")
        if not math.isfinite(self.guidance):
            raise UsageError(f"--guidance {self.guidance}: must be a finite number")

    def conditions(self, model: "Model", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Captions, where they are given."""
        arrays, options = super().conditions(model, given, num)
        if self.prompt:
            arrays |= captions_of(self.prompt, given, num)
        return arrays, dataclasses.replace(options, prompt=())


@dataclasses.dataclass(frozen=True)
class DALLEOptions(DrawOptions, LabelOptions):
    """Of a model of captions, of classes, or of pictures alone."""

    init: str | None = None  # an image file, whose upper part is kept
    keep: float = 0.5  # share of the init image's rows

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.keep < 1:
            raise UsageError(f"--keep {self.keep}: must be between 0 and 1")

    def conditions(self, model: "Model", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Labels; captions and the init image where they are given."""
        arrays, options = super().conditions(model, given, num)
        if self.init:
            image = given.image(self.init, "--init", model.image_shape)
            arrays["init"] = np.broadcast_to(image, (num, *image.shape))
        return arrays, dataclasses.replace(options, init=None)


def captions_of(prompts: tuple[str, ...], given: Given, num: int) -> dict[str, np.ndarray]:
    """The prompts as `caption` and `caption_length`, in turn until there are enough.

    Raises:
      UsageError: the data's text has no tokenizer; a prompt is empty, or longer than the model's text.
    """
    field = given.spec.fields.get("caption")
    if given.tokenizer is None or not isinstance(field, Tokens):
        raise UsageError("--prompt is text, and this run's data has none")
    end, rows = [] if field.end is None else [field.end], []
    for number, prompt in enumerate(prompts, 1):
        if not prompt.strip():
            raise UsageError(f"--prompt number {number} is empty")
        ids = np.append(given.tokenizer.encode(prompt), end).astype(np.int32)
        if len(ids) > field.longest:
            raise UsageError(
                f"--prompt number {number} has {len(ids)} tokens, and the model's text {field.longest}: "
                f"{visible(prompt[:40])}"
            )
        rows.append(ids)
    padded = np.zeros((num, field.longest), np.int32)
    for n, row in enumerate(padded):
        ids = rows[n % len(rows)]
        row[: len(ids)] = ids
    return {"caption": padded, "caption_length": np.asarray([len(rows[n % len(rows)]) for n in range(num)], np.int32)}
