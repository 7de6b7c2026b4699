"""The commands: thin, each a function of its arguments. Exit status 0, 2 for a wrong command line, 1 otherwise."""

import contextlib
import dataclasses
import difflib
import inspect as python_inspect
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import absl.logging
import tyro

from genjax.errors import UsageError, UserError
from genjax.experiment import Eval, Experiment

MARKERS = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
Unprefixed = tyro.conf.arg(name="")  # its fields are flags of the command itself


def main(argv: list[str] | None = None) -> None:
    """Entry point of `genjax`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [arg for arg in argv if arg != "--debug"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not debug:
        absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax logs a traceback of what becomes our one line
    try:
        sys.exit(run(argv))
    except (UserError, KeyboardInterrupt, BrokenPipeError, OSError) as error:
        if debug:
            raise
        if isinstance(error, BrokenPipeError):  # `genjax list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        line = " ".join(str(error).split()) or "interrupted"
        print(f"genjax: {line}", file=sys.stderr)
        status = 2 if isinstance(error, UsageError) else 1
        from genjax.parallel.distributed import exit_now

        exit_now(error, status)
        sys.exit(status)


def run(argv: list[str]) -> int:
    """Runs one command line; returns 0 or raises."""
    if not argv or argv[0] in ("-h", "--help"):
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
    from genjax import recipes

    if "-h" in argv or "--help" in argv:
        return print(python_inspect.getdoc(list_recipes))
    if argv:
        raise UsageError(f"`genjax list` takes no arguments, not '{argv[0]}'")
    rows = []
    for name, file in recipes.recipe_files().items():
        experiment = recipes.load_experiment(name)
        line = python_inspect.cleandoc(recipes.description(file)).splitlines()[0]
        rows.append((name, type(experiment.model).__name__, experiment.data.path or experiment.data.source, line))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[3]]))


@dataclasses.dataclass
class TrainArgs:
    experiment: Annotated[Experiment, Unprefixed]
    out: Path | None = None  # run directory; None = runs/RECIPE. One that has checkpoints is resumed


def train(argv: list[str]) -> None:
    """Trains a recipe, or resumes it.

    genjax train RECIPE [--out DIR] [--section.field VALUE ...]
    """
    from genjax.training.loop import train

    recipe, experiment, rest = _recipe("train", argv)
    args = _parse(f"train {recipe}", TrainArgs, TrainArgs(experiment), rest)
    out = args.out or Path("runs") / Path(recipe).stem
    train(args.experiment, out, recipe=recipe)
    print(f"{out}: samples/, metrics.jsonl, weights.safetensors, and report.html to look at")


def sample(argv: list[str]) -> None:
    """Draws samples from a run.

    genjax sample RUN [--num N] [--seed S] [--out FILE] [--checkpoint latest|best|STEP] [the model's own options]
    """
    from genjax.training import restore, run
    from genjax.training.samples import save_outputs
    from genjax.training.sampling import conditions, draw

    out, rest = _run("sample", argv)
    choices = run.load(out)[0].model.Options

    @dataclasses.dataclass
    class SampleArgs:
        options: Annotated[choices, Unprefixed] = dataclasses.field(default_factory=choices)
        num: int = 64  # samples
        seed: int = 0
        out: Path | None = None  # .png, .txt or .npz; None = RUN/samples/sample-SEED
        checkpoint: str = "latest"  # latest, best, or a step

    args = _parse(f"sample {out}", SampleArgs, SampleArgs(), rest)
    if args.num < 1 or args.seed < 0:
        raise UsageError(f"--num {args.num} --seed {args.seed}: take at least one sample, and a seed from 0")
    opened = restore.open_run(out, args.checkpoint, data=getattr(args.options, "needs_data", False))
    given, options = conditions(args.options, opened.engine.spec, opened.dataset, opened.tokenizer, args.num)
    outputs = draw(opened.engine, opened.state, args.num, seed=args.seed, options=options, given=given)
    suffix = ".png" if "image" in outputs else ".txt"
    file = args.out or out / "samples" / f"sample-{args.seed}{suffix}"
    print(save_outputs(file, outputs, opened.tokenizer))


@dataclasses.dataclass
class EvalArgs:
    eval: Eval
    metrics: tuple[str, ...] = ()  # further ones, over sets of samples
    checkpoint: str = "latest"  # latest, best, or a step
    iwae_samples: int | None = None  # VAE: K of the importance-weighted bound


def evaluate(argv: list[str]) -> None:
    """Measures a run on the validation split.

    genjax eval RUN [--metrics NAME ...] [--checkpoint latest|best|STEP] [--eval.field VALUE ...]
    """
    from genjax.training import evaluation, restore, run

    out, rest = _run("eval", argv)
    defaults = EvalArgs(run.load(out)[0].eval)
    args = _parse(f"eval {out}", EvalArgs, defaults, rest)
    config = dataclasses.replace(args.eval, metrics=(*args.eval.metrics, *args.metrics))
    model = {} if args.iwae_samples is None else {"iwae_samples": args.iwae_samples}
    opened = restore.open_run(out, args.checkpoint, data=True, eval=config, model=model)
    metrics = evaluation.evaluate(opened.engine, opened.state, opened.dataset)
    print(f"step {int(opened.state.step)}, validation split of {opened.engine.experiment.data.source}")
    for name, value in metrics.items():
        print(f"{name:<24}{value:.6g}")


def inspect(argv: list[str]) -> None:
    """Parameters, shapes, shardings, bytes a device and FLOPs a step of a recipe; nothing is trained.

    genjax inspect RECIPE [--section.field VALUE ...]
    """
    from genjax.training.inspect import describe

    recipe, experiment, rest = _recipe("inspect", argv)
    args = _parse(f"inspect {recipe}", TrainArgs, TrainArgs(experiment), rest)
    print(describe(args.experiment))


@dataclasses.dataclass
class PlanArgs:
    experiment: Annotated[Experiment, Unprefixed]
    topology: str = ""  # v5e:4x4, v5p:8x8x8 ...
    json: Path | None = None  # write the plan here as well


def plan(argv: list[str]) -> None:
    """Whether a recipe fits a TPU topology, with memory and estimated time a step; needs libtpu, but no TPU.

    genjax plan RECIPE --topology v5e:4x4 [--json FILE] [--search] [--section.field VALUE ...]
    """
    import json

    from genjax.bench import plan
    from genjax.bench.search import search

    searching = "--search" in argv  # other meshes, micro-batches and remat policies too
    recipe, experiment, rest = _recipe("plan", [arg for arg in argv if arg != "--search"])
    args = _parse(f"plan {recipe}", PlanArgs, PlanArgs(experiment), rest)
    find = search if searching else plan.plan
    result = find(recipe, args.experiment, args.topology)
    print(plan.describe(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


@dataclasses.dataclass
class ExportArgs:
    out: Path | None = None  # .safetensors; None = RUN/weights.safetensors
    checkpoint: str = "latest"  # latest, best, or a step


def export(argv: list[str]) -> None:
    """Writes the weights of a run alone, as safetensors.

    genjax export RUN [--out FILE] [--checkpoint latest|best|STEP]
    """
    from genjax.training import checkpoint, restore, state

    run, rest = _run("export", argv)
    args = _parse(f"export {run}", ExportArgs, ExportArgs(), rest)
    file = args.out or run / checkpoint.WEIGHTS
    checkpoint.export_safetensors(state.averaged(restore.open_run(run, args.checkpoint).state)[0], file)
    print(file)


@dataclasses.dataclass
class CorpusArgs:
    texts: tyro.conf.Positional[tuple[Path, ...]]  # text files, UTF-8
    out: Path  # the corpus, for --data.path
    tokenizer: str = "byte"  # byte, char, bpe:SIZE, or gpt2:FOLDER
    validation: float = 0.01  # share held out


def corpus(argv: list[str]) -> None:
    """Tokenizes text files into a memory-mapped corpus for pretraining.

    genjax corpus TEXT ... --out DIR [--tokenizer NAME] [--validation SHARE]
    """
    from genjax.data import build_corpus

    args = _parse("corpus", CorpusArgs, None, argv)
    print(build_corpus(list(args.texts), args.out, args.tokenizer, args.validation))


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "list": list_recipes,
    "train": train,
    "sample": sample,
    "eval": evaluate,
    "inspect": inspect,
    "plan": plan,
    "export": export,
    "corpus": corpus,
}


def _overview() -> str:
    lines = ["genjax: generative models in JAX. `genjax COMMAND --help` says more of each.", ""]
    for function in COMMANDS.values():
        first, *_, usage = python_inspect.getdoc(function).splitlines()
        lines.append(f"  {usage}\n      {first}")
    return "\n".join(lines)


def _recipe(command: str, argv: list[str]) -> tuple[str, Experiment, list[str]]:
    """(recipe, its experiment, the remaining arguments)."""
    from genjax.recipes import load_experiment

    recipe, rest = _positional(command, "RECIPE", argv)
    return recipe, load_experiment(recipe), rest


def _run(command: str, argv: list[str]) -> tuple[Path, list[str]]:
    run, rest = _positional(command, "RUN", argv)
    if not Path(run).is_dir():
        raise UserError(f"run directory '{run}' does not exist")
    return Path(run), rest


def _positional(command: str, name: str, argv: list[str]) -> tuple[str, list[str]]:
    if argv and not argv[0].startswith("-"):
        return argv[0], argv[1:]
    if "-h" in argv or "--help" in argv:
        print(python_inspect.getdoc(COMMANDS[command]))
        print(f"\n`genjax {command} {name} --help` lists all options.")
        sys.exit(0)
    raise UsageError(f"`genjax {command}` needs a {name}; see `genjax {command} --help`")


def _parse(command: str, cls: type, default, argv: list[str]):
    """The arguments as `cls`. What tyro says of a wrong command line, in a box, becomes one line."""
    said = io.StringIO()
    arguments = {"default": default} if default is not None else {}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(cls, args=argv, prog=f"genjax {command}", config=MARKERS, **arguments)
    except SystemExit as exit:
        if exit.code in (0, None):
            raise
        raise UsageError(_one_line(said.getvalue())) from None


def _one_line(box: str) -> str:
    rows = [row.strip("│╭╰╮╯─ ") for row in box.splitlines() if row.startswith("│")]
    parts = [[]]
    for row in rows:
        if row:
            parts[-1].append(row)
        else:  # a rule
            parts.append([])
    hint = next((p[1] for p in parts[1:] if len(p) > 1 and p[0].startswith("Perhaps you meant")), None)
    text = " ".join(parts[0]) or box
    return f"{text}; perhaps you meant {hint.split()[0]}" if hint else text


if __name__ == "__main__":
    main()
