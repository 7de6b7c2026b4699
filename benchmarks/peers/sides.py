"""Sides that train and that sample: a genjax experiment on synthetic data, and PyTorch's steps under torch.compile."""

import itertools
import shutil

import jax
from peers.pairs import Side

from genjax.engine.engine import Engine
from genjax.engine.step import due_turns
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.runs.check import resolve
from genjax.spec import DataSpec


def training(experiment: Experiment, spec: DataSpec) -> Side:
    """The train step of the training loop, all turns that are due and the optimizers, on one batch on the device."""
    experiment = resolve(experiment, spec)
    engine = Engine(experiment, spec, jax.devices()[:1])  # the peers use one
    batch = engine.put(spec.random_batch(experiment.data.batch_size))
    state, steps = engine.init(), itertools.count()
    trained = {name: state.params[name] for turn in experiment.model.turns for name in turn.trains}
    parameters = sum(x.size for x in jax.tree.leaves(trained))

    def advance(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = engine.step(state, [batch], [due_turns(experiment, next(steps))])
        jax.block_until_ready(state)

    return Side("genjax", advance, parameters)


def sampling(experiment: Experiment, spec: DataSpec, conditions: dict, options, entries: tuple[str, ...] = ()) -> Side:
    """`genjax sample` for `conditions`, in one compiled call. `entries` of the model are what it takes; none: all."""
    engine = Engine(resolve(experiment, spec), spec, jax.devices()[:1])
    state = engine.init()

    def draw(count: int) -> None:
        for seed in range(count):
            engine.sample(state, conditions, seed, options)

    taken = [state.params[name] for name in entries] or state.params
    return Side("genjax", draw, sum(x.size for x in jax.tree.leaves(taken)))


def torch_device():
    """CUDA where PyTorch finds it, else the CPU. Raises UserError where nothing can compile for the CPU."""
    import torch

    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32, which XLA uses for float32 by default
        return torch.device("cuda")
    if not any(map(shutil.which, ("g++", "clang++"))):
        raise UserError("torch.compile needs a C++ compiler on CPU and found neither g++ nor clang++: install g++")
    return torch.device("cpu")


def placed(thing):
    """A module or a batch of images on that device; on CUDA as NHWC, where convolutions are fastest in it."""
    import torch

    device = torch_device()
    return thing.to(device, memory_format=torch.channels_last) if device.type == "cuda" else thing.to(device)


def torch_training(name: str, modules: list, step) -> Side:
    """`step()` is one whole train step of the modules, optimizers included."""
    import torch

    def advance(count: int) -> None:
        for _ in range(count):
            step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    parameters = {id(p): p.numel() for module in modules for p in module.parameters()}
    return Side(name, advance, sum(parameters.values()))


def learn(optimizer, loss) -> None:
    """One PyTorch step of what the optimizer holds."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
