"""The capacity plan: the real train step compiled ahead of time for TPUs that are not there.

XLA says whether the step fits, and what lies in memory. It counts the body of a loop once, so that FLOPs, bytes and
collectives are taken from programs of depth 1 and 2 without loops, on one micro-batch, and continued in a line:

    cost(L) = cost(1) + (L - 1) (cost(2) - cost(1)),   times the number of micro-batches

(the optimizer, counted with each micro-batch, is little beside it). Attention kernels, which XLA does not look into,
add their analytic FLOPs. A step can't be faster than any one of the chip's parts:

    time = max(FLOPs / peak FLOP/s, bytes accessed / HBM bytes/s, bytes sent / ICI bytes/s)

XLA's "bytes accessed" holds what stays on the chip too, and its count stands for no measurement.
"""

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from genjax.bench.hlo import collective_bytes
from genjax.bench.spec import longest_rows, spec_without_data
from genjax.bench.topology import topology_devices
from genjax.engine.batches import abstract_batch
from genjax.engine.engine import Engine
from genjax.engine.flops import kernel_flops, step_flops
from genjax.engine.state import parameter_count
from genjax.engine.step import all_turns
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.runs.check import resolve
from genjax.runtime import devices
from genjax.spec import DataSpec

__all__ = [
    "Cost",
    "compile_step",
    "count",
    "describe",
    "estimate",
    "exhausted_bytes",
    "extrapolate",
    "memory_bytes",
    "plan",
    "roofline",
]

# XLA's least effort: the same products and collectives, from a third down to a thirtieth of the full search's time.
QUICK = {"exec_time_optimization_effort": -1.0}
# No product in pieces while its operand is gathered: that is a loop again, of which the body would be counted once.
WHOLE = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 2**20}

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Cost(NamedTuple):
    """What one device does in a step."""

    flops: float
    bytes_accessed: float
    collective_bytes: float


def plan(
    recipe: str,
    experiment: Experiment,
    topology: str,
    say: Callable[[str], None] = lambda line: None,
    quick: bool = False,
) -> dict[str, Any]:
    """The plan of a recipe for a topology such as "v5e:4x4": the fields of `genjax plan --json`.

    `say` is told, in a line each, what takes its time.

    Planned is the step in which every turn is due, of texts in buckets that of the longest ones. Where it does not fit,
    the numbers are those of XLA's message, and there is no cost. A quick plan is compiled with XLA's least effort, and
    gathers weights whole: what it says of temporaries is mostly more than the step will take.

    Raises:
      UserError: no libtpu, a mesh or batch that does not fit the topology, data that is not described.
      UsageError: an unknown topology, the pmap backend.
    """
    if experiment.train.backend == "pmap":
        raise UsageError("`genjax plan` compiles the jit backend: leave --train.backend pmap out")
    chips = topology_devices(topology)
    spec = spec_without_data(experiment)
    experiment = longest_rows(resolve(experiment, spec), spec)
    engine = Engine(experiment, spec, chips)
    kind = chips[0].device_kind
    chip = devices.find(kind)
    mesh = " x ".join(f"{axis} {size}" for axis, size in engine.mesh.shape.items())
    parameters = parameter_count(engine.abstract_state.params)
    say(f"{recipe}: {parameters:,} parameters, {len(chips)} x {kind}, mesh {mesh}; compiling its step")
    start = time.perf_counter()
    compiled, message = compile_step(engine, quick=quick)
    seconds = time.perf_counter() - start
    memory = memory_bytes(compiled) if compiled else exhausted_bytes(message)
    done = compiled is not None  # then its temporaries fit; XLA does not add the arguments
    fits = done and (chip is None or memory["total"] <= chip.hbm_bytes)
    result = {
        "recipe": recipe,
        "topology": topology,
        "device_kind": kind,
        "num_devices": len(chips),
        "mesh": dict(engine.mesh.shape),
        "parameters": parameters,
        "batch_size": experiment.data.batch_size,
        "grad_accumulation": experiment.train.grad_accumulation,
        "remat": getattr(experiment.model.stack, "remat", None),
        "fits": fits,
        "memory_bytes": memory,
        "hbm_bytes": chip and chip.hbm_bytes,
        "compile_seconds": seconds,
        "quick": quick,
        "message": message,
    }
    cost = cost_of(engine, compiled) if compiled and quick and _without_loops(experiment) else None
    del compiled
    what = "it fits" if fits else "it does not fit"
    say(f"compiled in {seconds:.0f} s: {what}{', counting what it does' if done and cost is None else ''}")
    if done and cost is None:
        cost = count(experiment, spec, chips)
    return result | estimate(cost, chip, engine, len(chips))


def estimate(cost: Cost | None, chip: devices.Device | None, engine: Engine, num_devices: int) -> dict:
    """The fields of a plan that follow from the cost: the roofline, and MFU by the model's own FLOPs."""
    useful = step_flops(engine.experiment, engine.spec, all_turns(engine.experiment))
    # XLA's count can miss products (it counts the body of a loop once): a step computes at least the model's own.
    most = cost and cost._replace(flops=max(cost.flops, useful / num_devices))
    times = roofline(most, chip) if most and chip else None
    step = max(times.values()) if times else None
    return {
        "flops_per_device": cost and cost.flops,
        "bytes_accessed_per_device": cost and cost.bytes_accessed,
        "collective_bytes_per_device": cost and cost.collective_bytes,
        "roofline_ms": times and {part: 1e3 * seconds for part, seconds in times.items()},
        "estimated_step_ms": step and 1e3 * step,
        "estimated_mfu": step and useful / (step * num_devices * chip.flops),
        "model_flops_per_step": useful,
    }


def roofline(cost: Cost, chip: devices.Device) -> dict[str, float]:
    """Seconds that each part of the chip is busy; a step takes at least the longest."""
    return {
        "compute": cost.flops / chip.flops,
        "hbm": cost.bytes_accessed / chip.hbm_bandwidth,
        "collectives": cost.collective_bytes / chip.ici_bandwidth,
    }


def compile_step(engine: Engine, quick: bool = False) -> tuple[Any, str | None]:
    """(the compiled step in which every turn is due, None), or (None, XLA's message) where memory is exhausted."""
    experiment = engine.experiment
    options = (QUICK | (WHOLE if engine.platform == "tpu" else {})) if quick else None
    batch = abstract_batch(engine.spec, experiment.data.batch_size, engine.batch_sharding)
    with jax.set_mesh(engine.mesh):
        lowered = engine.compile_steps((all_turns(experiment),)).lower(engine.abstract_state, (batch,))
        try:
            return lowered.compile(compiler_options=options), None
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None, str(error)


def memory_bytes(compiled: Any) -> dict[str, int]:
    """Bytes a device by part; `alias` is output that takes the place of a donated argument."""
    m = compiled.memory_analysis()
    parts = {
        "arguments": m.argument_size_in_bytes,
        "temporaries": m.temp_size_in_bytes,
        "output": m.output_size_in_bytes,
        "alias": m.alias_size_in_bytes,
    }
    return parts | {"total": parts["arguments"] + parts["temporaries"] + parts["output"] - parts["alias"]}


def exhausted_bytes(message: str) -> dict[str, int | None]:
    """What XLA's message says of the memory a step would take; None for what it does not say."""

    def find(pattern: str) -> int | None:
        match = re.search(pattern + r"\s*([\d.]+)([KMGT]?)", message)
        return match and round(float(match[1]) * UNITS[match[2]])

    parts = {
        "arguments": find(r"\barguments"),
        "temporaries": find(r"\bprogram") or find(r"HLO temporaries \("),
        "output": find(r"Output size"),
        "alias": find(r"; shares"),
    }
    return parts | {"total": find(r"Total hbm usage >=") or find(r"Used") or find(r"total memory required[^(]*\(")}


def count(experiment: Experiment, spec: DataSpec, chips: list) -> Cost:
    """What a device does in a step, extrapolated from programs without loops; see the module."""
    accumulation = experiment.train.grad_accumulation
    micro = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, batch_size=experiment.data.batch_size // accumulation),
        train=dataclasses.replace(experiment.train, grad_accumulation=1),
    )

    def program(experiment: Experiment) -> Cost:
        engine = Engine(experiment, spec, chips)
        compiled, message = compile_step(engine, quick=True)
        if compiled is None:
            raise UserError(f"a program of the plan's does not fit: {message.splitlines()[0]}")
        return cost_of(engine, compiled)

    return Cost(*(accumulation * x for x in extrapolate(program, micro)))


def cost_of(engine: Engine, compiled: Any) -> Cost:
    """What XLA counts in a program of the engine's, with the kernels that it does not look into."""
    cost, chips = compiled.cost_analysis(), engine.mesh.size
    sent = collective_bytes(_text(compiled), chips)
    kernels = kernel_flops(engine.model, engine.experiment.data.batch_size) / chips
    return Cost(cost.get("flops", 0.0) + kernels, cost.get("bytes accessed", 0.0), sent)


def _without_loops(experiment: Experiment) -> bool:
    """Whether XLA's count of the whole step is the truth: it counts the body of a loop once."""
    return experiment.train.grad_accumulation == 1 and getattr(experiment.model.stack, "layers", None) is None


def _text(compiled: Any) -> str:
    try:
        return compiled.as_text()
    except jax.errors.JaxRuntimeError as error:  # jaxlib reads what libtpu wrote
        raise UserError(
            f'this libtpu is not the one made for jax {jax.__version__}: pip install "jax[tpu]=={jax.__version__}"'
        ) from error


def extrapolate(program: Callable[[Experiment], Cost], experiment: Experiment) -> Cost:
    """The cost of a model with a stack of layers in a loop, from two that are unrolled; of another, its own."""
    layers = getattr(experiment.model.stack, "layers", None)

    def unrolled(depth: int) -> Cost:
        model = experiment.model.with_stack(layers=depth, unroll=depth)
        return program(dataclasses.replace(experiment, model=model))

    if layers is None:
        return program(experiment)
    if layers <= 2:
        return unrolled(layers)
    one, two = unrolled(1), unrolled(2)
    return Cost(*(a + (layers - 1) * (b - a) for a, b in zip(one, two)))


def describe(result: dict[str, Any]) -> str:
    """A plan for people."""

    def gib(size: float | None) -> str:
        if size is None:
            return "?"
        return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.2f} MiB"

    mesh = " x ".join(f"{axis} {size}" for axis, size in result["mesh"].items())
    lines = [
        f"{result['recipe']} on {result['topology']}: {result['num_devices']} x {result['device_kind']}, mesh {mesh}, "
        f"batch {result['batch_size']} in {result['grad_accumulation']} micro-batch(es)",
        f"{'fits' if result['fits'] else 'DOES NOT FIT'}: {gib(result['memory_bytes']['total'])} of "
        f"{gib(result['hbm_bytes'])} a device ("
        + ", ".join(f"{part} {gib(size)}" for part, size in result["memory_bytes"].items() if part != "total")
        + f"); compiled in {result['compile_seconds']:.0f} s"
        + (" with XLA's least effort: --quick" if result["quick"] else ""),
    ]
    if result["flops_per_device"] is not None:
        lines.append(
            f"a device and step: {result['flops_per_device']:.3e} FLOPs, "
            f"{result['bytes_accessed_per_device']:.3e} bytes accessed, "
            f"{result['collective_bytes_per_device']:.3e} bytes sent"
        )
    if result["roofline_ms"]:
        parts = ", ".join(f"{part} {ms:.3g}" for part, ms in result["roofline_ms"].items())
        lines.append(
            f"at least {result['estimated_step_ms']:.3g} ms a step (the longest of, in ms: {parts}), "
            f"MFU at most {result['estimated_mfu']:.1%}"
        )
    return "\n".join(lines)
