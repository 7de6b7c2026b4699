"""What a user may choose when a hidden Markov model samples, or decodes what the data has."""

import dataclasses
from typing import Literal

from genjax.errors import UsageError
from genjax.models.base import SampleOptions

__all__ = ["HMMOptions"]


@dataclasses.dataclass(frozen=True)
class HMMOptions(SampleOptions):
    """Sequences drawn from the model, or validation sequences with their states."""

    decode: Literal["none", "viterbi", "posterior"] = "none"  # the likeliest path, or at each time the likeliest state
    length: int | None = None  # of a drawn sequence; None = as the data's

    def __post_init__(self):
        if self.length is not None and self.length < 1:
            raise UsageError(f"--length {self.length}: must be at least 1")
        if self.length is not None and self.decode != "none":
            raise UsageError(f"--decode {self.decode} takes whole validation sequences: leave out --length")
