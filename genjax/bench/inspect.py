"""What a recipe would train: every parameter with its sharding, memory a device, FLOPs a step."""

import math

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


def describe(experiment: Experiment) -> str:
    """A table of the parameters, and what the state and a step cost. Compiles the step, trains nothing.

    The data is opened only where the recipe does not tell its shapes.
    """
    spec = spec_without_data(experiment)
    experiment = resolve(experiment, spec)
    engine = Engine(experiment, spec)
    state = engine.abstract_state
    rows = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        rows.append((parameter_path(path), str(leaf.shape), str(leaf.dtype), _spec(leaf.sharding), _bytes(leaf)))
    lines = [
        f"{type(experiment.model).__name__}, {parameter_count(state.params):,} parameters, "
        f"mesh {' x '.join(f'{axis} {size}' for axis, size in engine.mesh.shape.items())} "
        f"({engine.mesh.devices.flat[0].device_kind}), backend {experiment.train.backend}",
        "",
        *_table([("parameter", "shape", "dtype", "sharding", "bytes a device"), *rows]),
        "",
    ]
    for entry, tree in state.params.items():
        by_update = "trained by update" if entry in trained_entries(experiment) else "frozen"
        trained = "trained" if entry in state.opt_state else by_update
        lines.append(f"{entry}: {parameter_count(tree):,} parameters, {trained}")
    parts = {
        "parameters": state.params,
        "optimizer": state.opt_state,
        "ema": state.ema,
        "model state": state.model_state,
    }
    sizes = {name: sum(_bytes(leaf) for leaf in jax.tree.leaves(tree)) for name, tree in parts.items()}
    lines.append("bytes a device: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
    lines += _flops(engine, spec.random_batch(experiment.data.batch_size))
    return "\n".join(lines)


def _flops(engine: Engine, batch: dict) -> list[str]:
    """For each combination of turns: what the mathematics needs, and what XLA counts in the compiled program."""
    lines = []
    for due in dict.fromkeys(turn_period(engine.experiment)):
        if not due:
            continue
        with jax.set_mesh(engine.mesh):
            lowered = engine.compile_steps((due,)).lower(engine.abstract_state, (engine.put(batch),))
            cost = lowered.compile().cost_analysis()
        needed, counted = step_flops(engine.experiment, engine.spec, due), cost.get("flops", 0.0)
        lines.append(
            f"step with {', '.join(due)}: {needed:,.0f} FLOPs of products and convolutions; "
            f"{counted:,.0f} FLOPs a device (XLA's count of everything)"
        )
    return lines


def _bytes(leaf: jax.ShapeDtypeStruct) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _spec(sharding: jax.sharding.NamedSharding) -> str:
    spec = tuple(sharding.spec)
    return "replicated" if not any(spec) else f"({', '.join(str(axis or '-') for axis in spec)})"


def _table(rows: list[tuple]) -> list[str]:
    rows = [tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
