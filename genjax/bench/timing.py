"""How fast a recipe trains: the compiled step of the training loop, timed, and the loop itself with its waits.

from genjax.bench.timing import measure
result = measure("vae_digits", genjax.load_experiment("vae_digits"), steps=50)
"""

import dataclasses
import functools
import itertools
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import data
from genjax.bench import loop as loops
from genjax.bench.limits import peak_flops
from genjax.bench.spec import longest_rows, spec_without_data, tokens_an_example
from genjax.engine.engine import Engine
from genjax.engine.feed import feed
from genjax.engine.flops import model_flops, model_flops_by_entry
from genjax.engine.step import turn_period
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.runs.check import resolve
from genjax.runs.environment import environment
from genjax.runtime import distributed
from genjax.runtime.host_memory import keep_freed_memory
from genjax.runtime.memory_use import peak_memory
from genjax.spec import DataSpec
from genjax.training.schedule import steps_of_call

__all__ = ["describe", "measure"]

VERSIONS = ("genjax-suite", "jax", "jaxlib", "flax", "optax", "numpy", "python")
TRACED_STEPS = 3  # at least
BUSY = 1.0  # programs that ran in the minute before
WARM_UP_CALLS = 5  # at most; a program that compiles anew at each of them will go on doing so
COMPILED, CACHE_HIT = "/jax/core/compile/backend_compile_duration", "/jax/compilation_cache/cache_hits"  # JAX's names

Call = tuple[tuple[str, ...], ...]  # the turns due at each step of one call of a compiled program


@distributed.device_errors()
def measure(
    recipe: str,
    experiment: Experiment,
    *,
    steps: int = 50,
    synthetic: bool = False,
    spec: DataSpec | None = None,
    trace: Path | None = None,
    measure_peak: bool = False,
    import_seconds: float | None = None,
) -> dict[str, Any]:
    """The fields of `genjax bench --json`, ready for `json.dumps`.

    First the step alone, each call waited for, then the training loop in a temporary run directory, which evaluates,
    samples and saves at the end. Steps are called as the loop calls them, several at once with --train.steps-per-call.
    A time is the mean over the least number of steps that are whole calls and whole periods of the turns; `steps` is
    rounded up to these. Where batches have several shapes, as those of buckets have, the steps are those of a random
    batch of the longest texts.

    `compile_seconds` is by how much the first calls are longer than later ones: they trace `programs` programs and
    compile them, or read `programs_from_cache` of them from JAX's persistent cache, which takes a fraction of the time.

    Args:
      steps: how many are timed, after each call has been repeated until nothing compiles any more.
      synthetic: one random batch of the shapes that the recipe tells of; no loop is run then, and no reader imported.
      spec: of that batch, where the recipe does not tell it.
      trace: a folder for a trace of `jax.profiler`, taken after the timed steps.
      measure_peak: MFU against a large matrix product in the recipe's precision instead of the maker's bfloat16 peak.
      import_seconds: from the command to this call, shown as a part of the start-up.

    Raises:
      UserError: as `genjax.train` does; data that is not at hand, unless `synthetic`; a folder that cannot be written.
      DeviceError: the compiled program fails, for want of memory above all.
    """
    if steps < 1:
        raise UsageError(f"--steps {steps}: must be at least 1")
    if trace:
        _make_folder(trace)
    begin, events = time.perf_counter(), _events()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    distributed.initialize(experiment.mesh)
    dataset = None if synthetic else _load(experiment)
    spec = dataset.spec if dataset else spec or spec_without_data(experiment)
    experiment = longest_rows(resolve(experiment, spec), spec)
    intervals, period = experiment.train, turn_period(experiment)
    calls = _calls(period, steps_of_call(0, intervals))
    unit = sum(map(len, calls))
    rounds = math.ceil(steps / unit)
    experiment = dataclasses.replace(experiment, train=loops.shortened(intervals, max(rounds, 2) * unit, len(calls[0])))
    engine = loops.TimedEngine(experiment, spec)
    if engine.platform == "cpu":
        keep_freed_memory()
    shapes = dataset.shapes(experiment.data.batch_size) if dataset else ()
    engine.require_shapes(shapes)
    if len(shapes) == 1:
        batches = list(itertools.islice(feed(engine, dataset), experiment.data.prefetch))
    else:
        batches = [_random_batch(engine)]
    timer = _Steps(engine, batches)
    build_seconds = time.perf_counter() - begin
    before = events.copy()
    compile_seconds = sum(timer.warm_up(call) for call in dict.fromkeys(calls))
    programs, hits = (events[event] - before[event] for event in (COMPILED, CACHE_HIT))
    step_seconds = np.array([sum(timer.seconds(call) for call in calls) / unit for _ in range(rounds)])
    memory, memory_of = peak_memory()
    if trace:
        with jax.profiler.trace(str(trace)):
            for call in calls * math.ceil(TRACED_STEPS / unit):
                timer.seconds(call)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(timer.state.params))
    del timer  # the loop has a state of its own
    alone = jax.process_count() == 1
    loop = loops.measure_loop(engine, dataset, recipe, intervals) if dataset and alone else None

    kind, count = engine.mesh.devices.flat[0].device_kind, engine.mesh.devices.size
    chips = jax.process_count() if engine.platform == "cpu" else count  # the CPU's devices share its cores
    peak, peak_from = peak_flops(kind, engine.platform, experiment.model.dtype, measured=measure_peak)
    median = float(np.median(step_seconds))
    by_entry = model_flops_by_entry(experiment, spec)
    flops = sum(by_entry.values())
    examples = experiment.data.batch_size / median
    tokens = tokens_an_example(spec)
    full_attention = model_flops(experiment, spec, full_attention=True) if tokens else flops
    versions = environment()
    return {
        "recipe": recipe,
        "system": type(experiment.model).__name__,
        "backend": experiment.train.backend,
        "device_kind": kind,
        "num_devices": count,
        "mesh": dict(engine.mesh.shape),
        "precision": experiment.model.dtype,
        "batch_size": experiment.data.batch_size,
        "grad_accumulation": experiment.train.grad_accumulation,
        "parameters": parameters,
        "synthetic_data": len(shapes) != 1,
        "compile_seconds": compile_seconds,
        "startup_seconds": {"import": import_seconds, "build": build_seconds, "compile": compile_seconds},
        "programs": programs,
        "programs_from_cache": hits,
        "turn_period": len(period),
        "steps_per_call": len(calls[0]),
        "timed_steps": rounds * unit,
        "step_ms": {
            "median": 1e3 * median,
            "p10": 1e3 * float(np.percentile(step_seconds, 10)),
            "p90": 1e3 * float(np.percentile(step_seconds, 90)),
        },
        "examples_per_second": examples,
        "tokens_per_second": examples * tokens if tokens else None,
        "model_flops_per_step": flops,
        "model_flops_by_entry": by_entry,
        "model_flops_per_second": flops / median,
        "peak_flops_per_second": peak and peak * chips,
        "peak_from": peak_from,
        "mfu": peak and flops / median / (peak * chips),
        "mfu_full_attention": peak and full_attention / median / (peak * chips),
        "load": load,
        "peak_memory_bytes": memory,
        "peak_memory_of": memory_of,
        "data_wait_fraction": loop and loop["data_wait_fraction"],
        "loop": loop,
        "machine": versions["machine"],
        "commit": versions["commit"],
        "versions": {name: versions[name] for name in VERSIONS},
    }


class _Steps:
    """A train state and a few batches on the devices, to play steps on."""

    def __init__(self, engine: Engine, batches: list[dict[str, jax.Array]]):
        self.engine, self.batches = engine, itertools.cycle(batches)
        self.state = jax.block_until_ready(engine.init())

    def seconds(self, call: Call) -> float:
        """Of one call, until the state is there."""
        batches, start = list(itertools.islice(self.batches, len(call))), time.perf_counter()
        self.state, metrics = self.engine.step(self.state, batches, call)
        jax.block_until_ready((self.state, metrics))
        return time.perf_counter() - start

    def warm_up(self, call: Call) -> float:
        """Repeats a call until nothing compiles; returns by how many seconds the earlier ones were longer."""
        seconds, events = [], _events()
        while len(seconds) < WARM_UP_CALLS:
            before = events[COMPILED]
            seconds.append(self.seconds(call))
            if len(seconds) > 1 and events[COMPILED] == before:
                break
        return max(0.0, sum(seconds) - len(seconds) * seconds[-1])


def _calls(period: Call, steps: int) -> list[Call]:
    """What the loop calls again and again, `steps` at a time: the fewest calls that are whole periods of the turns."""
    dues = period * (math.lcm(len(period), steps) // len(period))
    return [dues[first : first + steps] for first in range(0, len(dues), steps)]


@functools.cache
def _events() -> Counter[str]:
    """Counts what JAX reports of itself from now on."""
    counts = Counter()
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
    jax.monitoring.register_event_duration_secs_listener(lambda event, _, **__: counts.update([event]))
    return counts


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the trace to '{folder}': {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write the trace to '{folder}': choose another folder")


def _random_batch(engine: Engine) -> dict[str, jax.Array]:
    """This process's rows of one."""
    engine.require_room()
    size = engine.experiment.data.batch_size
    rows = engine.rows(size)
    return engine.put({name: values[rows] for name, values in engine.spec.random_batch(size).items()})


def _load(experiment: Experiment) -> data.Dataset:
    try:
        return data.load(experiment.data)
    except UsageError:
        raise
    except UserError as error:
        raise UserError(f"{error}. Without the data: --synthetic true") from error


def describe(r: dict[str, Any]) -> str:
    """A result for people."""
    mesh = " x ".join(f"{axis} {size}" for axis, size in r["mesh"].items())
    step, startup, loop = r["step_ms"], r["startup_seconds"], r["loop"]
    timed = str(r["timed_steps"])
    if r["turn_period"] > 1:
        timed += f", means over periods of {r['turn_period']} steps"
    if r["steps_per_call"] > 1:
        timed += f", {r['steps_per_call']} a call"
    speed = f"{r['examples_per_second']:,.1f} examples/s"
    if r["tokens_per_second"]:
        speed += f", {r['tokens_per_second']:,.0f} tokens/s"
    mfu = "unknown peak: see --measure-peak"
    if r["mfu"] is not None:
        mfu = f"MFU {r['mfu']:.1%} of {r['peak_flops_per_second']:.3g} FLOP/s ({r['peak_from']})"
    flops = f"{r['model_flops_per_step']:.4g} a step, {r['model_flops_per_second']:.4g} a second; {mfu}"
    if len(r["model_flops_by_entry"]) > 1:
        shares = (f"{e} {f / r['model_flops_per_step']:.0%}" for e, f in r["model_flops_by_entry"].items())
        flops += f"; {', '.join(shares)}"
    rows = [
        ("recipe", f"{r['recipe']}: {r['system']}, {r['parameters']:,} parameters, {r['precision']}"),
        ("devices", f"{r['num_devices']} x {r['device_kind']}, mesh {mesh}, backend {r['backend']}"),
        (
            "batch",
            f"{r['batch_size']} in {r['grad_accumulation']} micro-batch(es){', synthetic' * r['synthetic_data']}",
        ),
        ("step", f"{step['median']:.3f} ms (p10 {step['p10']:.3f}, p90 {step['p90']:.3f}) over {timed}"),
        ("speed", speed),
        ("model FLOPs", flops),
        ("peak memory", f"{r['peak_memory_bytes'] / 2**20:,.0f} MiB of the {r['peak_memory_of']}"),
        (
            "start-up",
            ", ".join(f"{part} {seconds:.2f} s" for part, seconds in startup.items() if seconds is not None)
            + f" ({r['programs_from_cache']} of {r['programs']} program(s) read from the cache)",
        ),
    ]
    if (r["load"] or 0) > BUSY:
        rows.append(("busy", f"a load of {r['load']:.1f} before anything began: other programs slow what is measured"))
    if loop:
        shares = ", ".join(f"{part} {share:.1%}" for part, share in loop["shares"].items())
        rows += [
            ("loop", f"{loop['steps_per_second']:.4g} steps/s, waiting for data {loop['data_wait_fraction']:.1%}"),
            ("a long run", shares),
        ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)
