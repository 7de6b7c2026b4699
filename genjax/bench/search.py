"""A bounded search for the mesh, micro-batch and remat policy with the least estimated time of a step.

The global batch stays: it is part of what is learned. One thing is varied at a time, from the best so far, because
every try compiles: the mesh, then the recomputation, then the number of micro-batches (halved or doubled).
"""

import dataclasses
from collections.abc import Iterator

from genjax.bench.plan import plan
from genjax.bench.topology import topology_devices
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.nn.stack import REMAT_POLICIES

__all__ = ["search"]

MOST_TENSOR = 8  # all-reduces in every layer: beyond this they cost more than they save


def search(recipe: str, experiment: Experiment, topology: str, quick: bool = False) -> dict:
    """The best plan found; a line is printed for each try. Raises what `plan` raises for the recipe itself."""
    chips = len(topology_devices(topology))
    best = plan(recipe, experiment, topology, quick=quick)
    print(_line(best), flush=True)
    for vary in (_meshes, _remats, _accumulations):
        start = experiment
        for candidate in vary(start, chips):
            try:
                result = plan(recipe, candidate, topology, quick=quick)
            except UserError:  # a batch or a number of heads that the mesh does not divide
                continue
            print(_line(result), flush=True)
            if _rank(result) < _rank(best):
                best, experiment = result, candidate
    print()
    return best


def _rank(result: dict) -> tuple:
    """Plans that fit by time, before those that don't by memory."""
    return (not result["fits"], result["estimated_step_ms"] or 0.0, result["memory_bytes"]["total"] or 0)


def _meshes(experiment: Experiment, chips: int) -> Iterator[Experiment]:
    """Plain data parallelism, all fsdp, and fsdp x tensor; a model without rules for `tensor` has no use of that."""
    splits = any("tensor" in str(spec) for _, spec in experiment.model.rules)
    tensors = [t for t in (1, 2, 4, 8) if chips % t == 0 and t <= MOST_TENSOR] if splits else [1]
    shapes = [(chips, 1, 1), *((1, chips // tensor, tensor) for tensor in tensors)]
    for data, fsdp, tensor in dict.fromkeys(shapes):
        mesh = dataclasses.replace(experiment.mesh, data=data, fsdp=fsdp, tensor=tensor)
        yield dataclasses.replace(experiment, mesh=mesh)


def _remats(experiment: Experiment, chips: int) -> Iterator[Experiment]:
    """The other policies, where the model has a stack of layers."""
    for policy in ("none", *REMAT_POLICIES) if experiment.model.stack else ():
        if policy != experiment.model.stack.remat:
            yield dataclasses.replace(experiment, model=experiment.model.with_stack(remat=policy))


def _accumulations(experiment: Experiment, chips: int) -> Iterator[Experiment]:
    """Half and twice as many micro-batches, of twice and half the size."""
    now = experiment.train.grad_accumulation
    for number in {max(now // 2, 1), 2 * now} - {now}:
        train = dataclasses.replace(experiment.train, grad_accumulation=number)
        yield dataclasses.replace(experiment, train=train)


def _line(result: dict) -> str:
    mesh = " x ".join(map(str, result["mesh"].values()))
    total = (result["memory_bytes"]["total"] or 0) / 2**30
    time = f"{result['estimated_step_ms']:.1f} ms" if result["estimated_step_ms"] else "-"
    return (
        f"mesh {mesh:<14} micro-batches {result['grad_accumulation']:<4} remat {result['remat'] or '-':<5} "
        f"{'fits' if result['fits'] else 'does not fit':<13} {total:8.2f} GiB  {time}"
    )
