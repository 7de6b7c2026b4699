"""How fast a recipe trains: the compiled step of the training loop, timed, and the loop itself with its waits.

from genjax.bench.timing import measure
result = measure("vae_digits", genjax.load_experiment("vae_digits"), steps=50)
"""

import dataclasses
import functools
import itertools
import json
import math
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax import data
from genjax.bench.flops import model_flops
from genjax.bench.limits import peak_flops, peak_memory
from genjax.bench.synthetic import synthetic_dataset
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment
from genjax.parallel import distributed
from genjax.parallel.host_memory import keep_freed_memory
from genjax.training import run as runs
from genjax.training.engine import Engine
from genjax.training.log import read_metrics
from genjax.training.loop import run_loop
from genjax.training.step import turn_period

VERSIONS = ("genjax-suite", "jax", "jaxlib", "flax", "optax", "numpy", "python")
TRACED_STEPS = 3  # at least
CACHE_HIT = "/jax/compilation_cache/cache_hits"  # JAX's own name of the event


def measure(
    recipe: str,
    experiment: Experiment,
    *,
    steps: int = 50,
    synthetic: bool = False,
    trace: Path | None = None,
    measure_peak: bool = False,
    import_seconds: float | None = None,
) -> dict[str, Any]:
    """The fields of `genjax bench --json`, ready for `json.dumps`.

    First the step alone, each call waited for; then `steps` steps of the training loop in a temporary run directory,
    which evaluates, samples and saves half-way and at the end. Where turns are due at intervals, a time is the mean
    over one whole period of them, and `steps` is rounded up to whole periods.

    Args:
      steps: how many are timed, after two of each combination of turns to compile and to warm up.
      synthetic: random batches of the shapes that the recipe tells of; no loop is run then.
      trace: a folder for a trace of `jax.profiler`, taken after the timed steps.
      measure_peak: MFU against a large matrix product in the recipe's precision instead of the maker's bfloat16 peak.
      import_seconds: from the command to this call, shown as a part of the start-up.

    Raises:
      UserError: as `genjax.train` does; data that is not at hand, unless `synthetic`.
    """
    if steps < 1:
        raise UsageError(f"--steps {steps}: must be at least 1")
    begin, hits = time.perf_counter(), _events()[CACHE_HIT]
    distributed.initialize(experiment.mesh)
    dataset = synthetic_dataset(experiment) if synthetic else _load(experiment)
    intervals = experiment.train
    half = math.ceil(steps / 2)
    train = dataclasses.replace(
        intervals, steps=2 * half, eval_every=half, sample_every=half, checkpoint_every=half, init_from=()
    )
    experiment = runs.resolve(dataclasses.replace(experiment, train=train), dataset.spec)
    engine = Engine(experiment, dataset.spec)
    if engine.platform == "cpu":
        keep_freed_memory()
    timer = _Steps(engine, dataset)
    build_seconds = time.perf_counter() - begin
    period = turn_period(experiment)
    compile_seconds = sum(timer.first(due) for due in dict.fromkeys(period))
    hits = _events()[CACHE_HIT] - hits
    rounds = math.ceil(steps / len(period))
    step_seconds = np.mean([[timer.step(due) for due in period] for _ in range(rounds)], axis=1)
    memory, memory_of = peak_memory()
    if trace:
        with jax.profiler.trace(str(trace)):
            for due in period * math.ceil(TRACED_STEPS / len(period)):
                timer.step(due)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(timer.state.params))
    del timer  # the loop has a state of its own
    loop = None if synthetic or jax.process_count() > 1 else _loop(engine, dataset, recipe, intervals)

    kind, count = engine.mesh.devices.flat[0].device_kind, engine.mesh.devices.size
    peak, peak_from = peak_flops(kind, engine.platform, experiment.model.dtype, measured=measure_peak)
    median = float(np.median(step_seconds))
    flops = model_flops(experiment, dataset.spec)
    examples = experiment.data.batch_size / median
    context = dataset.spec.context
    full_attention = model_flops(experiment, dataset.spec, full_attention=True) if context else flops
    versions = runs.environment()
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
        "synthetic_data": synthetic,
        "compile_seconds": compile_seconds,
        "startup_seconds": {"import": import_seconds, "build": build_seconds, "compile": compile_seconds},
        "programs_from_cache": hits,
        "turn_period": len(period),
        "timed_steps": rounds * len(period),
        "step_ms": {
            "median": 1e3 * median,
            "p10": 1e3 * float(np.percentile(step_seconds, 10)),
            "p90": 1e3 * float(np.percentile(step_seconds, 90)),
        },
        "examples_per_second": examples,
        "tokens_per_second": examples * context if context else None,
        "model_flops_per_step": flops,
        "model_flops_per_second": flops / median,
        "peak_flops_per_second": peak and peak * count,
        "peak_from": peak_from,
        "mfu": peak and flops / median / (peak * count),
        "mfu_full_attention": peak and full_attention / median / (peak * count),
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

    def __init__(self, engine: Engine, dataset: data.Dataset):
        config = engine.experiment.data
        host = data.train_batches(
            dataset, config.batch_size, engine.experiment.train.seed, rows=engine.rows, workers=config.workers
        )
        self.engine = engine
        self.batches = itertools.cycle([engine.put(batch) for batch in itertools.islice(host, config.prefetch)])
        self.state = jax.block_until_ready(engine.init())

    def step(self, due: tuple[str, ...]) -> float:
        """Seconds of one step, from the call until the state is there."""
        batch, start = next(self.batches), time.perf_counter()
        self.state, metrics = self.engine.step(self.state, [batch], [due])
        jax.block_until_ready((self.state, metrics))
        return time.perf_counter() - start

    def first(self, due: tuple[str, ...]) -> float:
        """Seconds by which the first step with these turns is longer than the second: tracing and compiling."""
        return max(0.0, self.step(due) - self.step(due))


@functools.cache
def _events() -> Counter[str]:
    """Counts what JAX reports of itself from now on."""
    counts = Counter()
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event]))
    return counts


def _load(experiment: Experiment) -> data.Dataset:
    try:
        return data.load(experiment.data)
    except UsageError:
        raise
    except UserError as error:
        raise UserError(f"{error}. Without the data: --synthetic true") from error


def _loop(engine: Engine, dataset: data.Dataset, recipe: str, intervals) -> dict[str, Any]:
    """The training loop itself, by its own clock.

    `shares` are those of a long run at the recipe's intervals: what an evaluation and a set of samples took the
    second time, when they were compiled, and what the loop waited for a checkpoint the first time, when it was
    written in the background.
    """
    with tempfile.TemporaryDirectory(prefix="genjax-bench-") as folder:
        out = Path(folder) / "run"
        run_loop(engine, dataset, out, recipe=recipe)
        seconds = json.loads((out / "environment.json").read_text())["seconds"]
        records = read_metrics(out)
    steps = engine.experiment.train.steps
    parts = {part: seconds.get(part, 0.0) / steps for part in ("steps", "data", "log")}
    training = sum(parts.values())
    for part, every, which in (
        ("evaluate", intervals.eval_every, -1),
        ("sample", intervals.sample_every, -1),
        ("checkpoint", intervals.checkpoint_every, 0),
    ):
        parts[part] = [r[f"seconds/{part}"] for r in records if f"seconds/{part}" in r][which] / (
            every or intervals.steps
        )
    return {
        "steps": steps,
        "steps_per_second": 1 / training,
        "data_wait_fraction": parts["data"] / training,
        "seconds": seconds,
        "shares": {part: per_step / sum(parts.values()) for part, per_step in parts.items()},
    }


def describe(r: dict[str, Any]) -> str:
    """A result for people."""
    mesh = " x ".join(f"{axis} {size}" for axis, size in r["mesh"].items())
    step, startup, loop = r["step_ms"], r["startup_seconds"], r["loop"]
    a_period = f", means over periods of {r['turn_period']} steps" if r["turn_period"] > 1 else ""
    speed = f"{r['examples_per_second']:,.1f} examples/s"
    if r["tokens_per_second"]:
        speed += f", {r['tokens_per_second']:,.0f} tokens/s"
    mfu = "unknown peak: see --measure-peak"
    if r["mfu"] is not None:
        mfu = f"MFU {r['mfu']:.1%} of {r['peak_flops_per_second']:.3g} FLOP/s ({r['peak_from']})"
    rows = [
        ("recipe", f"{r['recipe']}: {r['system']}, {r['parameters']:,} parameters, {r['precision']}"),
        ("devices", f"{r['num_devices']} x {r['device_kind']}, mesh {mesh}, backend {r['backend']}"),
        (
            "batch",
            f"{r['batch_size']} in {r['grad_accumulation']} micro-batch(es){', synthetic' * r['synthetic_data']}",
        ),
        (
            "step",
            f"{step['median']:.3f} ms (p10 {step['p10']:.3f}, p90 {step['p90']:.3f}) over {r['timed_steps']}{a_period}",
        ),
        ("speed", speed),
        ("model FLOPs", f"{r['model_flops_per_step']:.4g} a step, {r['model_flops_per_second']:.4g} a second; {mfu}"),
        ("peak memory", f"{r['peak_memory_bytes'] / 2**20:,.0f} MiB of the {r['peak_memory_of']}"),
        (
            "start-up",
            ", ".join(f"{part} {seconds:.2f} s" for part, seconds in startup.items() if seconds is not None)
            + f" ({r['programs_from_cache']} program(s) from the cache)",
        ),
    ]
    if loop:
        shares = ", ".join(f"{part} {share:.1%}" for part, share in loop["shares"].items())
        rows += [
            ("loop", f"{loop['steps_per_second']:.4g} steps/s, waiting for data {loop['data_wait_fraction']:.1%}"),
            ("a long run", shares),
        ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)
