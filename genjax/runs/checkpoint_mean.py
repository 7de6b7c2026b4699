"""The mean of a run's newest checkpoints, which often translates better than the last one.

Vaswani et al. 2017 (arXiv:1706.03762), section 6.1, take the last 5, or 20 of the big models.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UsageError, UserError
from genjax.runs import checkpoint as checkpoints

__all__ = ["checkpoint_mean"]


def checkpoint_mean(
    run: Path, state: TrainState, count: int, abstract_state: TrainState, report: Callable[[str], None]
) -> TrainState:
    """The state with the mean of its parameters and of those of the `count` - 1 checkpoints before it.

    The mean is float32, of the parameters as they were trained, and takes the place of moving averages. What is no
    parameter stays that of `state`.

    Raises:
      UsageError: a count below 1. UserError: there are fewer checkpoints, or one that does not load.
    """
    if count < 1:
        raise UsageError(f"--average {count}: must be at least 1")
    there = [step for step in checkpoints.steps(run) if step <= int(state.step)]
    if len(there) < count:
        raise UserError(
            f"--average {count}: '{run}' has {len(there)} checkpoints up to step {int(state.step)}; train with "
            f"--train.keep {count}"
        )
    total = state.params
    for step in there[-count:-1]:
        other = checkpoints.restore(run, abstract_state, report, step)
        total = jax.tree.map(jnp.add, total, other.params)
    mean = jax.tree.map(lambda x: (x / count).astype(x.dtype), total)
    return state.replace(params=mean, ema=EMA({}, {}, {}))
