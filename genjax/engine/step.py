"""The one train step of every system: the turns that are due, each a gradient and an update, then the averages."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from genjax.engine import averages, optimizers
from genjax.engine.form import require_form
from genjax.engine.gradient import gradient
from genjax.engine.state import TrainState, trained_entries
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.models.base import Batch, Model, Params

__all__ = ["EVAL", "INIT", "SAMPLE", "all_turns", "due_turns", "run_key", "train_step", "train_steps", "turn_period"]

INIT, TRAIN, EVAL, SAMPLE, GRADIENT = range(5)  # the streams of randomness of a run


def run_key(seed: int, stream: int) -> jax.Array:
    """The key of one stream of the run's randomness."""
    return jax.random.fold_in(jax.random.key(seed), stream)


def due_turns(experiment: Experiment, step: int) -> tuple[str, ...]:
    """The turns to play at a step (from 0), chosen on the host; not those whose entries are all frozen."""
    trained = trained_entries(experiment)
    return tuple(
        turn.name
        for turn in experiment.model.turns
        if step >= turn.start
        and (step + 1 - turn.start) % turn.every == 0
        and (not turn.trains or any(entry in trained for entry in turn.trains))
    )


def turn_period(experiment: Experiment) -> tuple[tuple[str, ...], ...]:
    """The turns due at each step until they repeat, from a step on at which all have begun."""
    turns = experiment.model.turns
    length = math.lcm(*(turn.every for turn in turns))
    first = max(turn.start for turn in turns)
    first += -first % length  # without a start, from step 0
    return tuple(due_turns(experiment, first + step) for step in range(length))


def all_turns(experiment: Experiment) -> tuple[str, ...]:
    """Every turn that is played at some time: the step in which all of them are due costs the most."""
    played = {name for due in turn_period(experiment) for name in due}
    return tuple(turn.name for turn in experiment.model.turns if turn.name in played)


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
    noise_key = jax.random.fold_in(run_key(train.seed, GRADIENT), state.step)
    trained = trained_entries(experiment)
    metrics, updated = {}, set()
    params, opt_state, model_state = dict(state.params), dict(state.opt_state), state.model_state

    for number, turn in enumerate(model.turns):
        if turn.name not in due:
            continue
        entries = tuple(entry for entry in turn.trains if entry in trained)

        def loss(trained, model_state, batch, turn=turn, params=params):
            everything = {**params, **trained}
            return model.loss(turn.name, everything, model_state, batch, key, step=state.step, train=True)

        outcome = _gradient_of(
            turn.name,
            loss,
            {entry: params[entry] for entry in entries if turn.gradient},
            model_state,
            batch,
            jax.random.fold_in(noise_key, number),
            how=train.gradient,
            batch_size=experiment.data.batch_size,
            micro_batches=train.grad_accumulation,
            unroll=unroll,
        )
        metrics |= {f"{turn.name}/{name}": value for name, value in outcome.metrics.items()}
        for entry, grads in outcome.grads.items():
            optim, share = optimizers.lazily(optimizers.of_entry(experiment.optim, entry), model.turns, entry)
            rate = share * optimizers.schedule(optim, experiment.optim.schedule_steps or train.steps)(state.step)
            direction, opt_state[entry] = optimizers.transform(optim).update(grads, opt_state[entry], params[entry])
            params[entry] = jax.tree.map(lambda p, d: p - (rate * d).astype(p.dtype), params[entry], direction)
            metrics |= {
                f"grad_norm/{turn.name}/{entry}": optax.tree.norm(grads),
                f"lr/{entry}": jnp.asarray(rate, jnp.float32),
            }
        new, model_state = model.update(turn.name, params, outcome.state, outcome.sums, outcome.rows, step=state.step)
        kept = {entry: params[entry] for entry in entries}
        require_form(f"turn {turn.name}: the parameters that `update` returns", _only(new, kept), kept)
        require_form(f"turn {turn.name}: the state that `update` returns", model_state, state.model_state)
        params |= _only(new, kept)
        updated |= set(entries)

    return state.replace(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        ema=averages.update(state.ema, params, model_state, updated, train.ema_decay, state.step, train.ema_ramp),
        model_state=model_state,
    ), metrics


def _gradient_of(turn: str, *args, **options):
    """`gradient`, whose complaints name the turn."""
    try:
        return gradient(*args, **options)
    except UserError as error:
        raise type(error)(f"turn {turn}: {error}") from error


def _only(params: Params, entries: Params) -> Params:
    return {entry: params[entry] for entry in entries if entry in params}


def train_steps(
    step: Callable, dues: Sequence[tuple[str, ...]], state: TrainState, batches: Sequence[Batch], *, unroll: bool | int
) -> tuple[TrainState, list[dict[str, jax.Array]]]:
    """Several steps in one program: `step(state, batch, due=...)` for each batch; alike ones in a row as a loop.

    Returns:
      The last state, and the metrics of each step.
    """
    metrics, done = [], 0
    shapes = [tuple(x.shape for x in batch.values()) for batch in batches]
    for (due, _), group in itertools.groupby(zip(dues, shapes)):
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
