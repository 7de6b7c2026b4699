"""One text, handed on piece by piece while it is drawn."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from genjax.decoding.stream import listening
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UsageError
from genjax.evaluation.sampling import draw
from genjax.models.base import SampleOptions

__all__ = ["streamed"]


def streamed(
    engine: Engine,
    state: TrainState,
    conditions: dict[str, np.ndarray],
    tokenizer: Any,
    show: Callable[[str], None],
    *,
    seed: int,
    options: SampleOptions,
) -> None:
    """Draws the one text of `conditions` and shows each piece of it, the prompt first, once its characters are whole.

    Raises UsageError for several texts or devices, and without a tokenizer.
    """
    if len(conditions["index"]) > 1:
        raise UsageError("--stream shows one text: leave out --num")
    if tokenizer is None:
        raise UsageError("--stream shows text, and this run's data has no tokenizer to write it")
    if engine.mesh.size > 1 or jax.process_count() > 1:
        raise UsageError(f"--stream needs one device, and this run is on {engine.mesh.size}: leave it out")
    shown = 0

    def hear(tokens_T: np.ndarray) -> None:
        nonlocal shown
        text = tokenizer.decode(tokens_T).rstrip("\ufffd")  # the first bytes of a character
        show(text[shown:])
        shown = max(shown, len(text))

    with listening(hear):
        draw(engine, state, conditions, seed=seed, options=options)
