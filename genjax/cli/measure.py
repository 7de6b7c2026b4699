"""Commands that tell what a recipe costs: parameters, speed, memory."""

import dataclasses
import json
import sys
import time
from pathlib import Path

from genjax.cli.arguments import STARTED, check_folder, recipe_argument
from genjax.command_line import flags, parse

__all__ = ["bench", "inspect", "plan"]


def inspect(argv: list[str]) -> None:
    """Parameters, shapes, shardings, bytes a device and FLOPs a step of a recipe; nothing is trained.

    genjax inspect RECIPE [--section.field VALUE ...]
    """
    recipe, experiment, rest = recipe_argument("inspect", argv)
    from genjax.bench.inspect import describe

    for line in describe(parse(f"inspect {recipe}", type(experiment), experiment, rest)):
        print(line, flush=True)


def bench(argv: list[str]) -> None:
    """Times the training step and loop of a recipe: speed, MFU, memory, start-up, waits for data.

    genjax bench RECIPE [--steps N] [--json FILE] [--trace DIR] [--measure-peak] [--synthetic] [--section.field VALUE]
    """
    recipe, experiment, rest = recipe_argument("bench", argv)
    from genjax.bench import timing

    sections = flags(type(experiment))

    @dataclasses.dataclass
    class BenchArgs:
        experiment: sections
        steps: int = 50  # timed; rounded up to whole periods of the turns
        json: Path | None = None  # write the result here as well
        trace: Path | None = None  # folder for a trace of jax.profiler
        measure_peak: bool = False  # MFU against a measured matrix product
        synthetic: bool = False  # random batches instead of the data

    args = parse(f"bench {recipe}", BenchArgs, BenchArgs(experiment), rest)
    check_folder(args.json)
    imported = time.perf_counter() - STARTED
    result = timing.measure(
        recipe,
        args.experiment,
        steps=args.steps,
        synthetic=args.synthetic,
        trace=args.trace,
        measure_peak=args.measure_peak,
        import_seconds=imported,
    )
    print(timing.describe(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


def plan(argv: list[str]) -> None:
    """Whether a recipe fits a TPU topology, with memory and estimated time a step; needs libtpu, but no TPU.

    genjax plan RECIPE --topology v5e:4x4 [--json FILE] [--search] [--quick] [--section.field VALUE ...]
    """
    searching = "--search" in argv  # other meshes, micro-batches and remat policies too
    quick = "--quick" in argv  # XLA's least effort: minutes where convolutions take a quarter of an hour and more
    recipe, experiment, rest = recipe_argument("plan", [arg for arg in argv if arg not in ("--search", "--quick")])
    from genjax.bench import plan
    from genjax.bench.search import search

    sections = flags(type(experiment))

    @dataclasses.dataclass
    class PlanArgs:
        experiment: sections
        topology: str = ""  # v5e:4x4, v5p:8x8x8 ...
        json: Path | None = None  # write the plan here as well

    args = parse(f"plan {recipe}", PlanArgs, PlanArgs(experiment), rest)
    check_folder(args.json)
    if searching:
        result = search(recipe, args.experiment, args.topology, quick)
    else:
        result = plan.plan(
            recipe, args.experiment, args.topology, lambda line: print(line, file=sys.stderr, flush=True), quick
        )
    print(plan.describe(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))
