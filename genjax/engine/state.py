"""What a run carries from step to step, all of it in one pytree: this is what a checkpoint holds."""

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from genjax.engine import averages, optimizers
from genjax.engine.averages import EMA
from genjax.experiment import Experiment
from genjax.models.base import Model, Params
from genjax.spec import DataSpec

__all__ = ["TrainState", "averaged", "create", "ema_entries", "optimized_entries", "parameter_count", "trained_entries"]

Tree = Any


class TrainState(flax.struct.PyTreeNode):
    """`opt_state` has an entry for each network that is trained by gradient, `ema` for each that is averaged."""

    step: jax.Array  # () int32, steps done
    params: Params
    opt_state: dict[str, Any]
    ema: EMA
    model_state: Tree


def parameter_count(tree: Tree) -> int:
    """The numbers in a tree of arrays, or of their shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def trained_entries(experiment: Experiment) -> tuple[str, ...]:
    """The entries that some turn trains and `train.freeze` does not name, in the order of the turns."""
    named = [entry for turn in experiment.model.turns for entry in turn.trains]
    return tuple(entry for entry in dict.fromkeys(named) if entry not in experiment.train.freeze)


def optimized_entries(experiment: Experiment) -> tuple[str, ...]:
    """The trained entries that have an optimizer: some turn trains them by gradient."""
    by_gradient = {entry for turn in experiment.model.turns if turn.gradient for entry in turn.trains}
    return tuple(entry for entry in trained_entries(experiment) if entry in by_gradient)


def ema_entries(experiment: Experiment) -> tuple[str, ...]:
    """The entries with a moving average: `train.ema_entries`, or all that are trained; none without one."""
    if not (experiment.train.ema_decay or experiment.train.ema_power):
        return ()
    trained = trained_entries(experiment)
    return tuple(entry for entry in trained if entry in (experiment.train.ema_entries or trained))


def create(model: Model, experiment: Experiment, spec: DataSpec, key: jax.Array) -> TrainState:
    """The state before the first step. Pure: run it under `jit` with output shardings to create it sharded."""
    params, model_state = model.init(key, spec, experiment.data.batch_size)
    train = experiment.train
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={
            entry: optimizers.transform(optimizers.of_entry(experiment.optim, entry)).init(params[entry])
            for entry in optimized_entries(experiment)
        },
        ema=averages.create(params, model_state, ema_entries(experiment), train.ema_decay, train.ema_power),
        model_state=model_state,
    )


def averaged(state: TrainState) -> tuple[Params, Tree]:
    """(params, model state) for evaluation and samples: of the plain average, else of the narrowest power average."""
    average = state.ema
    if not average.params and average.power:
        average = average.power[min(average.power, key=float)]
    return {**state.params, **average.params}, {**state.model_state, **average.state}
