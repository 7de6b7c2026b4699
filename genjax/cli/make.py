"""Commands that make runs, and what runs are made of: recipes and corpora."""

import dataclasses
import inspect
import shutil
import sys
from pathlib import Path

from genjax.cli.arguments import recipe_argument
from genjax.command_line import flags, parse
from genjax.errors import UsageError

__all__ = ["corpus", "list_recipes", "train"]

NARROW = 120  # columns of a terminal


def list_recipes(argv: list[str]) -> None:
    """Every recipe: name, system, data, one line, cut at the terminal's width; a narrow one gets name and line alone.

    genjax list
    """
    if argv:
        raise UsageError(f"`genjax list` takes no arguments, not '{argv[0]}'")
    from genjax import recipes

    rows = []
    for name, file in recipes.recipe_files().items():
        experiment = recipes.load_experiment(name)
        line = inspect.cleandoc(recipes.description(file)).splitlines()[0]
        rows.append((name, type(experiment.model).__name__, experiment.data.path or experiment.data.source, line))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if room is not None and room < NARROW:
        rows = [(row[0], row[3]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)][:-1]
    for *columns, line in rows:
        line = "  ".join([*(text.ljust(width) for text, width in zip(columns, widths)), line])
        print(line if room is None or len(line) <= room else line[: room - 1] + "…")


def train(argv: list[str]) -> None:
    """Trains a recipe, or resumes a run; `--from RUN --out DIR` starts a run like that one.

    Metrics go to RUN/metrics.jsonl and TensorBoard, and to W&B where WANDB_PROJECT or WANDB_MODE is set.

    genjax train RECIPE|RUN [--out DIR] [--section.field VALUE ...]
    """
    another = argv[:1] == ["--from"]  # in words what another --out says
    recipe, experiment, rest = recipe_argument("train", argv[another:])
    from genjax.recipes import CONFIG
    from genjax.runs.directory import RECIPE, read_config
    from genjax.training.loop import train

    place = Path("runs") / Path(recipe).stem
    if (Path(recipe) / CONFIG).is_file():
        place, recipe = Path(recipe), read_config(Path(recipe))["recipe"]
        if another and recipe.endswith(".py") and (place / RECIPE).is_file():
            recipe = str(place / RECIPE)  # what that run was begun with: the file may have been edited since

    sections = flags(type(experiment))

    @dataclasses.dataclass
    class TrainArgs:
        experiment: sections
        out: Path = place  # run directory; one that has checkpoints is resumed

    args = parse(f"train {recipe}", TrainArgs, TrainArgs(experiment), rest)
    if another and args.out == place:
        raise UsageError(f"--from {place}: another run like it needs a place of its own: --out DIR")
    train(args.experiment, args.out, recipe=recipe)
    print(f"{args.out}: samples/, metrics.jsonl, weights.safetensors, and report.html to look at")


def corpus(argv: list[str]) -> None:
    """Tokenizes text files into a memory-mapped corpus for pretraining.

    genjax corpus TEXT ... --out DIR [--tokenizer NAME] [--validation SHARE]
    """
    import tyro

    @dataclasses.dataclass
    class CorpusArgs:
        texts: tyro.conf.Positional[tuple[Path, ...]]  # text files, UTF-8
        out: Path  # the corpus, for --data.path
        tokenizer: str = "byte"  # byte, char, bpe:SIZE, gpt2:FOLDER, bert:FOLDER or hf:FOLDER
        validation: float = 0.01  # share held out

    from genjax.data import build_corpus

    args = parse("corpus", CorpusArgs, None, argv)
    print(build_corpus(list(args.texts), args.out, args.tokenizer, args.validation))
