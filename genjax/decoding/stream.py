"""Text that appears while it is drawn: the loop on the device tells the host of every token of its first row."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

__all__ = ["listening", "tell"]

Listener = Callable[[np.ndarray], None]  # (T,) int32, the first row so far

_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it the listener hears what `tell` says, in order; on return it has heard all."""
    _listeners.append(listener)
    try:
        yield
        jax.effects_barrier()
    finally:
        _listeners.remove(listener)


def tell(tokens_NT: jax.Array, count: jax.Array) -> None:
    """Tells the listeners the first `count` tokens of the first row, from within a program of one device."""
    jax.debug.callback(_tell, tokens_NT[0], count, ordered=True)


def _tell(tokens_T: np.ndarray, count: np.ndarray) -> None:
    for listener in _listeners:
        listener(np.asarray(tokens_T)[: int(count)])
