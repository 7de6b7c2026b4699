"""What a recipe would train: every parameter with its sharding, memory a device, FLOPs a step."""

import math
from collections.abc import Iterator

import jax

from genjax.bench.spec import spec_without_data
from genjax.engine.engine import Engine
from genjax.engine.flops import step_flops
from genjax.engine.state import parameter_count, trained_entries
from genjax.engine.step import turn_period
from genjax.experiment import Experiment
from genjax.runs.check import resolve
from genjax.runtime.mesh import parameter_path

__all__ = ["describe"]


def describe(experiment: Experiment) -> Iterator[str]:
    """The lines of a table of the parameters, and of what the state and a step cost; nothing is trained.

    The last lines wait for the step's compilation, which takes minutes where it is large. The data is opened only
    where the recipe does not tell its shapes.
    """
    spec = spec_without_data(experiment)
    experiment = resolve(experiment, spec)
    engine = Engine(experiment, spec)
    state = engine.abstract_state
    rows = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        rows.append((parameter_path(path), str(leaf.shape), str(leaf.dtype), _spec(leaf.sharding), _bytes(leaf)))
    yield (
        f"{type(experiment.model).__name__}, {parameter_count(state.params):,} parameters, "
        f"mesh {' x '.join(f'{axis} {size}' for axis, size in engine.mesh.shape.items())} "
        f"({engine.mesh.devices.flat[0].device_kind}), backend {experiment.train.backend}"
    )
    yield ""
    yield from _table([("parameter", "shape", "dtype", "sharding", "bytes a device"), *rows])
    yield ""
    for entry, tree in state.params.items():
        by_update = "trained by update" if entry in trained_entries(experiment) else "frozen"
        trained = "trained" if entry in state.opt_state else by_update
        yield f"{entry}: {parameter_count(tree):,} parameters, {trained}"
    parts = {
        "parameters": state.params,
        "optimizer": state.opt_state,
        "ema": state.ema,
        "model state": state.model_state,
    }
    sizes = {name: sum(_bytes(leaf) for leaf in jax.tree.leaves(tree)) for name, tree in parts.items()}
    yield "bytes a device: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    yield from _flops(engine, spec.random_batch(experiment.data.batch_size))


def _flops(engine: Engine, batch: dict) -> Iterator[str]:
    """For each combination of turns: what the mathematics needs, and what XLA counts in the compiled program."""
    for due in dict.fromkeys(turn_period(engine.experiment)):
        if not due:
            continue
        with jax.set_mesh(engine.mesh):
            lowered = engine.compile_steps((due,)).lower(engine.abstract_state, (engine.put(batch),))
            cost = lowered.compile().cost_analysis()
        needed, counted = step_flops(engine.experiment, engine.spec, due), cost.get("flops", 0.0)
        yield (
            f"step with {', '.join(due)}: {needed:,.0f} FLOPs of products and convolutions; "
            f"{counted:,.0f} FLOPs a device (XLA's count of everything)"
        )


def _bytes(leaf: jax.ShapeDtypeStruct) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _spec(sharding: jax.sharding.NamedSharding) -> str:
    spec = tuple(sharding.spec)
    return "replicated" if not any(spec) else f"({', '.join(str(axis or '-') for axis in spec)})"


def _table(rows: list[tuple]) -> list[str]:
    rows = [tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
