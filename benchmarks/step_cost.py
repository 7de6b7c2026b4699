"""What one train step of a recipe costs on this machine: wall time, CPU time and page faults, data left out.

    python benchmarks/step_cost.py gpt_shakespeare_char --path shakespeare.txt [--steps 60] [--return-memory]

Runs the compiled steps of the recipe on one batch, in the order of its turns. `--return-memory` leaves glibc's
allocator as it is, so that the effect of `genjax.runtime.host_memory` shows.
"""

import argparse
import dataclasses
import itertools
import resource
import time

import jax

import genjax
from genjax import data
from genjax.engine.engine import Engine
from genjax.engine.step import due_turns
from genjax.runs.check import resolve
from genjax.runtime.host_memory import keep_freed_memory, use_huge_pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--path")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--return-memory", action="store_true")
    args = parser.parse_args()
    if not args.return_memory:
        use_huge_pages()
        keep_freed_memory()
    experiment = genjax.load_experiment(args.recipe)
    if args.path:
        experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, path=args.path))
    dataset = data.load(experiment.data)
    experiment = resolve(experiment, dataset.spec)
    engine = Engine(experiment, dataset.spec)
    batch = engine.put(next(data.train_batches(dataset, experiment.data.batch_size, 0)))
    state, steps = engine.init(), itertools.count()

    def advance(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = engine.step(state, [batch], [due_turns(experiment, next(steps))])
        jax.block_until_ready(state)

    advance(20)  # compiles every combination of turns
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    advance(args.steps)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    per_step = {
        "wall ms": 1e3 * seconds,
        "user ms": 1e3 * (after.ru_utime - before.ru_utime),
        "system ms": 1e3 * (after.ru_stime - before.ru_stime),
        "page faults": after.ru_minflt - before.ru_minflt,
    }
    print("  ".join(f"{name} {value / args.steps:.1f}" for name, value in per_step.items()))


if __name__ == "__main__":
    main()
