"""The one train step of every system: the turns that are due, each a gradient and an update, then the averages."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from genjax.engine import averages as ema
from genjax.engine import optimizers
from genjax.engine.gradient import gradient
from genjax.engine.state import TrainState, trained_entries
from genjax.experiment import Experiment
from genjax.models.base import Batch, Model

INIT, TRAIN, EVAL, SAMPLE = range(4)  # the streams of randomness of a run


def run_key(seed: int, stream: int) -> jax.Array:
    """The key of one stream of the run's randomness."""
    return jax.random.fold_in(jax.random.key(seed), stream)


def due_turns(experiment: Experiment, step: int) -> tuple[str, ...]:
    """The turns to play at a step (from 0), chosen on the host: those that train something not frozen."""
    trained = trained_entries(experiment)
    return tuple(
        turn.name
        for turn in experiment.model.turns
        if (step + 1) % turn.every == 0 and any(entry in trained for entry in turn.trains)
    )


def turn_period(experiment: Experiment) -> tuple[tuple[str, ...], ...]:
    """The turns due at each step (from 0) until they repeat; at the last of them, every turn is."""
    length = math.lcm(*(turn.every for turn in experiment.model.turns))
    return tuple(due_turns(experiment, step) for step in range(length))


def train_step(
    model: Model,
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    *,
    due: tuple[str, ...],
    unroll: bool | int,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Plays the turns `due` on one batch.

    All turns share one key, a function of (seed, step): XLA can then merge what they have in common.

    Args:
      model: as it runs here (`Model.on`); `experiment.model` describes the same one.
      batch: the global batch under `jit`, the replica's rows under `pmap`.
      due: names of the turns to play; static.
      unroll: of the loop over micro-batches.

    Returns:
      The next state, and the metrics `<turn>/loss`, `<turn>/<metric>`, `grad_norm/<turn>/<entry>`, `lr/<entry>`.
    """
    train = experiment.train
    key = jax.random.fold_in(run_key(train.seed, TRAIN), state.step)
    trained = trained_entries(experiment)
    metrics, updated = {}, set()
    params, opt_state, model_state = dict(state.params), dict(state.opt_state), state.model_state

    for turn in (turn for turn in model.turns if turn.name in due):
        entries = tuple(entry for entry in turn.trains if entry in trained)

        def loss(trained, model_state, batch, turn=turn, params=params):
            everything = {**params, **trained}
            return model.loss(turn.name, everything, model_state, batch, key, step=state.step, train=True)

        grads, values, model_state = gradient(
            loss,
            {entry: params[entry] for entry in entries},
            model_state,
            batch,
            micro_batches=train.grad_accumulation,
            unroll=unroll,
        )
        metrics |= {f"{turn.name}/{name}": value for name, value in values.items()}
        for entry in entries:
            optim = optimizers.of_entry(experiment.optim, entry)
            rate = optimizers.schedule(optim, train.steps)(state.step)
            direction, opt_state[entry] = optimizers.transform(optim).update(
                grads[entry], opt_state[entry], params[entry]
            )
            params[entry] = jax.tree.map(lambda p, d: p - (rate * d).astype(p.dtype), params[entry], direction)
            metrics |= {
                f"grad_norm/{turn.name}/{entry}": optax.tree.norm(grads[entry]),
                f"lr/{entry}": jnp.asarray(rate, jnp.float32),
            }
        params |= model.project(turn.name, {entry: params[entry] for entry in entries})
        updated |= set(entries)

    return state.replace(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        ema=ema.update(state.ema, params, model_state, updated, train.ema_decay, state.step),
        model_state=model_state,
    ), metrics


def train_steps(
    step: Callable, dues: Sequence[tuple[str, ...]], state: TrainState, batches: Sequence[Batch], *, unroll: bool | int
) -> tuple[TrainState, list[dict[str, jax.Array]]]:
    """Several steps in one program: `step(state, batch, due=...)` for each batch; equal ones in a row as a loop.

    Returns:
      The last state, and the metrics of each step.
    """
    metrics, done = [], 0
    for due, group in itertools.groupby(dues):
        count = len(list(group))
        if count == 1:
            state, values = step(state, batches[done], due=due)
            metrics.append(values)
        else:
            stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *batches[done : done + count])
            state, values = jax.lax.scan(functools.partial(step, due=due), state, stacked, unroll=unroll)
            metrics += [jax.tree.map(lambda x, i=i: x[i], values) for i in range(count)]
        done += count
    return state, metrics
