"""Small runs on disk without a training loop: a model with statistics, and one that wraps another."""

import contextlib
import dataclasses
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax import recipes
from genjax.engine.engine import Engine
from genjax.experiment import Data, Experiment, Train
from genjax.models.base import Model, Turn
from genjax.runs.checkpoint import Checkpoints
from genjax.runs.directory import prepare
from genjax.spec import DataSpec, Real

SPEC = DataSpec({"x": Real((4,))}, 64, 64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normed(Model):
    """Entries "encoder" and "decoder"; "encoder" has running statistics, which a count belongs to."""

    width: int = 3
    turns = (Turn("learn", trains=("encoder", "decoder")),)

    def networks(self):
        return {"encoder": nn.Dense(self.width), "decoder": nn.Dense(4)}

    def init(self, key, spec, batch_size=1):
        networks, x = self.networks(), jnp.zeros((1, 4))
        params = {name: networks[name].init(key, x)["params"] for name in networks}
        return params, {"encoder": {"mean": jnp.zeros(self.width), "count": jnp.zeros((), jnp.int32)}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Staged(Model):
    """Entry "head", which is trained, on the frozen entries of another model."""

    first_stage: Model = Normed()
    turns = (Turn("learn", trains=("head",)),)

    def networks(self):
        stage = {f"first_stage.{name}": network for name, network in self.first_stage.networks().items()}
        return {"head": nn.Dense(2)} | stage

    def init(self, key, spec, batch_size=1):
        stage = self.first_stage.init(key, spec)
        params, state = ({f"first_stage.{name}": x for name, x in part.items()} for part in stage)
        return params | {"head": nn.Dense(2).init(key, jnp.zeros((1, 4)))["params"]}, state


def engine(model: Model, **train) -> Engine:
    experiment = Experiment(model, Data(batch_size=8), train=Train(**train))
    return Engine(experiment, SPEC, jax.devices()[:1])


def write_run(out: Path, model: Model, steps: dict[int, dict], *, noise: bool = False, **train) -> Path:
    """A run directory with a checkpoint a step, saved with its metrics.

    Every number of a state is its step; with `noise` as it is initialized, the step apart.
    """
    made = engine(model, **train)
    prepare(out, config := recipes.to_dict(made.experiment, "custom", SPEC))
    with contextlib.closing(Checkpoints(out, 9, ("loss", "min"))) as checkpoints:
        for step, metrics in steps.items():
            state = made.init()
            full = jax.tree.map(lambda x, step=step: jnp.full_like(x, step), state)
            state = state.replace(step=full.step) if noise else full
            checkpoints.save(step, state, config, metrics, wait=True)
    return out


def tree_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with what is in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
