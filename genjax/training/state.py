"""What a run carries from step to step, all of it in one pytree: this is what a checkpoint holds."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from genjax.experiment import Experiment
from genjax.models.base import Model, Params
from genjax.spec import DataSpec
from genjax.training import optimizers

Tree = Any


class EMA(NamedTuple):
    """Moving averages of parameters, and of the float parts of state, by entry."""

    params: Params
    state: Tree


class TrainState(flax.struct.PyTreeNode):
    """`opt_state` and `ema` have an entry for each network that is trained; frozen ones have neither."""

    step: jax.Array  # () int32, steps done
    params: Params
    opt_state: dict[str, Any]
    ema: EMA
    model_state: Tree


def trained_entries(experiment: Experiment) -> tuple[str, ...]:
    """The entries that some turn trains and `train.freeze` does not name, in the order of the turns."""
    named = [entry for turn in experiment.model.turns for entry in turn.trains]
    return tuple(entry for entry in dict.fromkeys(named) if entry not in experiment.train.freeze)


def ema_entries(experiment: Experiment) -> tuple[str, ...]:
    """The entries with a moving average: `train.ema_entries`, or all that are trained; none without a decay."""
    if not experiment.train.ema_decay:
        return ()
    trained = trained_entries(experiment)
    return tuple(entry for entry in trained if entry in (experiment.train.ema_entries or trained))


def create(model: Model, experiment: Experiment, spec: DataSpec, key: jax.Array) -> TrainState:
    """The state before the first step. Pure: run it under `jit` with output shardings to create it sharded."""
    params, model_state = model.init(key, spec)
    averaged = ema_entries(experiment)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={
            entry: optimizers.transform(optimizers.of_entry(experiment.optim, entry)).init(params[entry])
            for entry in trained_entries(experiment)
        },
        ema=EMA(_copy(params, averaged), _copy(model_state, averaged)),
        model_state=model_state,
    )


def update_ema(ema: EMA, params: Params, model_state: Tree, entries: set[str], decay: jax.Array) -> EMA:
    """ema <- decay ema + (1 - decay) value for `entries`; integers are copied. The others stay."""

    def average(old, new):
        return decay * old + (1 - decay) * new if jnp.issubdtype(old.dtype, jnp.floating) else new

    def update(old, new):
        return {
            entry: jax.tree.map(average, old[entry], new[entry]) if entry in entries else old[entry] for entry in old
        }

    return EMA(update(ema.params, params), update(ema.state, model_state))


def averaged(state: TrainState) -> tuple[Params, Tree]:
    """(params, model state) for evaluation and samples: the averages where there are any."""
    return {**state.params, **state.ema.params}, {**state.model_state, **state.ema.state}


def _copy(tree: dict, entries: tuple[str, ...]) -> dict:
    # a copy: donated buffers must not appear twice in the state
    return {entry: jax.tree.map(jnp.copy, tree[entry]) for entry in entries if entry in tree}
