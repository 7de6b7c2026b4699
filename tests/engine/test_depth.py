"""A deeper stack is a longer loop and no larger program: compile time does not grow with depth."""

import dataclasses

import jax
import pytest
import systems

from genjax.engine.batches import abstract_batch
from genjax.engine.engine import Engine
from genjax.engine.step import all_turns
from genjax.runs.check import resolve

STACKED = [name for name, experiment in systems.TINY.items() if experiment.model.stack is not None]
QUICK = ("gpt", "diffusion-dit")  # one of text, one of images


def instructions(name: str, layers: int) -> int:
    """Of the whole train step in StableHLO, with a loop that is not unrolled."""
    system = systems.SYSTEMS[name]
    model = system.experiment.model.with_stack(layers=layers, unroll=1)
    experiment = resolve(dataclasses.replace(system.experiment, model=model), system.spec)
    engine = Engine(experiment, system.spec, jax.devices()[:1])
    batch = abstract_batch(engine.spec, experiment.data.batch_size, engine.batch_sharding)
    with jax.set_mesh(engine.mesh):
        lowered = engine.compile_steps((all_turns(experiment),)).lower(engine.abstract_state, (batch,))
    return sum(" = " in line for line in lowered.as_text().splitlines())


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in STACKED])
def test_a_program_is_as_long_whatever_its_depth(name):
    assert instructions(name, 2) == instructions(name, 4) > 100
