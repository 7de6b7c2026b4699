"""The commands: thin, each a function of its arguments. Exit status 0, 2 for a wrong command line, 1 otherwise.

What is slow to import, JAX above all, is imported by the command that needs it, after its help.
"""

import dataclasses
import difflib
import inspect as python_inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from genjax.command_line import flags, parse
from genjax.errors import UsageError, UserError

if TYPE_CHECKING:
    from genjax.experiment import Experiment

STARTED = time.perf_counter()
HELP = {"-h", "--help"}


def main(argv: list[str] | None = None) -> None:
    """Entry point of `genjax`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [arg for arg in argv if arg != "--debug"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not debug and not HELP.intersection(argv):
        import absl.logging

        absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax logs a traceback of what becomes our one line
    try:
        sys.exit(run(argv))
    except (Exception, KeyboardInterrupt) as error:
        if jax := sys.modules.get("jax"):
            from genjax.runtime.distributed import DeviceError, exit_now

            error = DeviceError(str(error)) if isinstance(error, jax.errors.JaxRuntimeError) else error
        if debug or not isinstance(error, UserError | KeyboardInterrupt | OSError):
            raise
        if isinstance(error, BrokenPipeError):  # `genjax list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        line = " ".join(str(error).split()) or "interrupted"
        print(f"genjax: {line}", file=sys.stderr)
        status = 2 if isinstance(error, UsageError) else 1
        if jax:
            exit_now(error, status)
        sys.exit(status)


def run(argv: list[str]) -> int:
    """Runs one command line; returns 0 or raises."""
    if not argv or argv[0] in HELP:
        print(_overview())
        return 0
    if argv[0] == "--version":
        import genjax

        print(f"genjax {genjax.__version__}")
        return 0
    if argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command '{argv[0]}': {hint}")
    COMMANDS[argv[0]](argv[1:])
    return 0


def list_recipes(argv: list[str]) -> None:
    """Every recipe: name, system, data, one line.

    genjax list
    """
    if HELP.intersection(argv):
        return print(python_inspect.getdoc(list_recipes))
    if argv:
        raise UsageError(f"`genjax list` takes no arguments, not '{argv[0]}'")
    from genjax import recipes

    rows = []
    for name, file in recipes.recipe_files().items():
        experiment = recipes.load_experiment(name)
        line = python_inspect.cleandoc(recipes.description(file)).splitlines()[0]
        rows.append((name, type(experiment.model).__name__, experiment.data.path or experiment.data.source, line))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[3]]))


def train(argv: list[str]) -> None:
    """Trains a recipe, or resumes it.

    genjax train RECIPE [--out DIR] [--section.field VALUE ...]
    """
    recipe, experiment, rest = _recipe("train", argv)
    from genjax.training.loop import train

    sections = flags(type(experiment))

    @dataclasses.dataclass
    class TrainArgs:
        experiment: sections
        out: Path | None = None  # run directory; None = runs/RECIPE. One that has checkpoints is resumed

    args = parse(f"train {recipe}", TrainArgs, TrainArgs(experiment), rest)
    out = args.out or Path("runs") / Path(recipe).stem
    train(args.experiment, out, recipe=recipe)
    print(f"{out}: samples/, metrics.jsonl, weights.safetensors, and report.html to look at")


@dataclasses.dataclass(kw_only=True)
class WeightsArgs:
    """Which of a run's weights are used."""

    checkpoint: str = "latest"  # latest, best, or a step
    ema: str = "true"  # false = not averaged; or the sigma_rel of a power average, of runs with --train.ema-power


def _open(run: Path, args: WeightsArgs, **changes):
    """`open_run` of the weights asked for."""
    from genjax.runs.restore import open_run

    ema = {"true": True, "false": False}.get(args.ema.lower())
    if ema is None:
        try:
            ema = float(args.ema)
        except ValueError:
            raise UsageError(f"--ema {args.ema}: take true, false or a sigma_rel such as 0.07") from None
    return open_run(run, args.checkpoint, ema=ema, **changes)


def sample(argv: list[str]) -> None:
    """Draws samples from a run.

    genjax sample RUN [--num N] [--seed S] [--out FILE] [--checkpoint STEP] [--ema SIGMA|false] [the model's options]
    """
    from genjax.evaluation.sampling import conditions, draw
    from genjax.runs import directory as run
    from genjax.runs.sheets import save_outputs

    out, rest = _run("sample", argv)
    model = run.load(out)[0].model
    choices = model.Options

    @dataclasses.dataclass
    class SampleArgs(WeightsArgs):
        options: flags(choices) = dataclasses.field(default_factory=choices)
        num: int = 64  # samples
        seed: int = 0
        out: Path | None = None  # .png, .txt or .npz; None = RUN/samples/sample-SEED

    args = parse(f"sample {out}", SampleArgs, SampleArgs(), rest)
    if args.num < 1 or not 0 <= args.seed < 2**32:
        raise UsageError(f"--num {args.num} --seed {args.seed}: take at least one sample, and a seed in [0, 2^32)")
    needs_data = model.needs_data(model.check(args.options))
    opened = _open(out, args, data=needs_data)
    engine = opened.engine
    given, options = conditions(engine.model, args.options, engine.spec, opened.dataset, opened.tokenizer, args.num)
    outputs = draw(engine, opened.state, args.num, seed=args.seed, options=options, given=given)
    suffix = ".png" if "image" in outputs else ".txt"
    file = args.out or out / "samples" / f"sample-{args.seed}{suffix}"
    print(save_outputs(file, outputs, opened.tokenizer))


def evaluate(argv: list[str]) -> None:
    """Measures a run on the validation split.

    genjax eval RUN [--metrics NAME ...] [--checkpoint latest|best|STEP] [--ema SIGMA|false] [--eval.field VALUE ...]
    """
    out, rest = _run("eval", argv)
    from genjax.evaluation import evaluate as evaluation
    from genjax.experiment import Eval
    from genjax.runs import directory as run

    @dataclasses.dataclass
    class EvalArgs(WeightsArgs):
        eval: Eval
        metrics: tuple[str, ...] = ()  # further ones, over sets of samples

    experiment, _ = run.load(out)
    measured = [(name, int, getattr(experiment.model, name)) for name in experiment.model.measured]
    args_class = dataclasses.make_dataclass("EvalArgs", measured, bases=(EvalArgs,))
    args = parse(f"eval {out}", args_class, args_class(experiment.eval), rest)
    config = dataclasses.replace(args.eval, metrics=(*args.eval.metrics, *args.metrics))
    model = {name: getattr(args, name) for name in experiment.model.measured}
    opened = _open(out, args, data=True, eval=config, model=model)
    metrics = evaluation.evaluate(opened.engine, opened.state, opened.dataset)
    data = opened.engine.experiment.data
    print(f"step {int(opened.state.step)}, validation split of {data.path or data.source}")
    for name, value in metrics.items():
        print(f"{name:<24}{value:.6g}")


def inspect(argv: list[str]) -> None:
    """Parameters, shapes, shardings, bytes a device and FLOPs a step of a recipe; nothing is trained.

    genjax inspect RECIPE [--section.field VALUE ...]
    """
    recipe, experiment, rest = _recipe("inspect", argv)
    from genjax.bench.inspect import describe

    print(describe(parse(f"inspect {recipe}", type(experiment), experiment, rest)))


def bench(argv: list[str]) -> None:
    """Times the training step and loop of a recipe: speed, MFU, memory, start-up, waits for data.

    genjax bench RECIPE [--steps N] [--json FILE] [--trace DIR] [--measure-peak] [--synthetic] [--section.field VALUE]
    """
    import json

    recipe, experiment, rest = _recipe("bench", argv)
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
    _check_folder(args.json)
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

    genjax plan RECIPE --topology v5e:4x4 [--json FILE] [--search] [--section.field VALUE ...]
    """
    import json

    searching = "--search" in argv  # other meshes, micro-batches and remat policies too
    recipe, experiment, rest = _recipe("plan", [arg for arg in argv if arg != "--search"])
    from genjax.bench import plan
    from genjax.bench.search import search

    sections = flags(type(experiment))

    @dataclasses.dataclass
    class PlanArgs:
        experiment: sections
        topology: str = ""  # v5e:4x4, v5p:8x8x8 ...
        json: Path | None = None  # write the plan here as well

    args = parse(f"plan {recipe}", PlanArgs, PlanArgs(experiment), rest)
    _check_folder(args.json)
    find = search if searching else plan.plan
    result = find(recipe, args.experiment, args.topology)
    print(plan.describe(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


@dataclasses.dataclass
class ExportArgs(WeightsArgs):
    out: Path | None = None  # .safetensors; None = RUN/weights.safetensors


def export(argv: list[str]) -> None:
    """Writes the weights of a run alone, as safetensors.

    genjax export RUN [--out FILE] [--checkpoint latest|best|STEP] [--ema SIGMA|false]
    """
    from genjax.engine import state
    from genjax.runs import checkpoint

    run, rest = _run("export", argv)
    args = parse(f"export {run}", ExportArgs, ExportArgs(), rest)
    file = args.out or run / checkpoint.WEIGHTS
    checkpoint.export_safetensors(state.averaged(_open(run, args).state)[0], file)
    print(file)


@dataclasses.dataclass
class EncodeArgs:
    out: Path | None = None  # .npz, for --data.path; None = RUN/latents.npz
    checkpoint: str = "latest"  # latest, best, or a step


def encode(argv: list[str]) -> None:
    """Encodes a run's images, once, by its spatial autoencoder: the data of latent diffusion.

    genjax encode RUN [--out FILE] [--checkpoint latest|best|STEP]
    """
    from genjax.evaluation import encoding
    from genjax.runs import restore

    run, rest = _run("encode", argv)
    args = parse(f"encode {run}", EncodeArgs, EncodeArgs(), rest)
    opened = restore.open_run(run, args.checkpoint, data=True)
    file, std = encoding.encode(opened, args.out or run / "latents.npz")
    print(f"{file}: latents of standard deviation {std:.4g}, for --data.path")


def corpus(argv: list[str]) -> None:
    """Tokenizes text files into a memory-mapped corpus for pretraining.

    genjax corpus TEXT ... --out DIR [--tokenizer NAME] [--validation SHARE]
    """
    import tyro

    @dataclasses.dataclass
    class CorpusArgs:
        texts: tyro.conf.Positional[tuple[Path, ...]]  # text files, UTF-8
        out: Path  # the corpus, for --data.path
        tokenizer: str = "byte"  # byte, char, bpe:SIZE, or gpt2:FOLDER
        validation: float = 0.01  # share held out

    from genjax.data import build_corpus

    args = parse("corpus", CorpusArgs, None, argv)
    print(build_corpus(list(args.texts), args.out, args.tokenizer, args.validation))


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "list": list_recipes,
    "train": train,
    "sample": sample,
    "eval": evaluate,
    "inspect": inspect,
    "bench": bench,
    "plan": plan,
    "export": export,
    "encode": encode,
    "corpus": corpus,
}


def _overview() -> str:
    lines = ["genjax: generative models in JAX. `genjax COMMAND --help` says more of each.", ""]
    for function in COMMANDS.values():
        first, *_, usage = python_inspect.getdoc(function).splitlines()
        lines.append(f"  {usage}\n      {first}")
    return "\n".join(lines)


def _recipe(command: str, argv: list[str]) -> tuple[str, "Experiment", list[str]]:
    """(recipe, its experiment, the remaining arguments)."""
    recipe, rest = _positional(command, "RECIPE", argv)
    from genjax.recipes import load_experiment
    from genjax.runtime.compilation import enable_cache

    if command != "plan":  # it tells how long compiling takes
        enable_cache()
    return recipe, load_experiment(recipe), rest


def _run(command: str, argv: list[str]) -> tuple[Path, list[str]]:
    run, rest = _positional(command, "RUN", argv)
    if not Path(run).is_dir():
        raise UserError(f"run directory '{run}' does not exist")
    from genjax.runtime.compilation import enable_cache

    enable_cache()
    return Path(run), rest


def _check_folder(file: Path | None) -> None:
    """Raises UserError before hours of work whose result could not be written."""
    if file and not file.absolute().parent.is_dir():
        raise UserError(f"--json {file}: there is no folder '{file.parent}'")


def _positional(command: str, name: str, argv: list[str]) -> tuple[str, list[str]]:
    if argv and not argv[0].startswith("-"):
        return argv[0], argv[1:]
    if HELP.intersection(argv):
        print(python_inspect.getdoc(COMMANDS[command]))
        print(f"\n`genjax {command} {name} --help` lists all options.")
        sys.exit(0)
    raise UsageError(f"`genjax {command}` needs a {name}; see `genjax {command} --help`")


if __name__ == "__main__":
    main()
