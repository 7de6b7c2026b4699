"""The command that trains a recipe many times."""

import dataclasses
from pathlib import Path

from genjax.cli.arguments import recipe_argument
from genjax.command_line import flags, parse
from genjax.errors import UsageError, UserError

__all__ = ["sweep"]


def sweep(argv: list[str]) -> None:
    """Trains every combination of settings with every seed, one after the other; then one table and one page.

    genjax sweep RECIPE --over FIELD VALUE ... [--over ...] [--seeds N] [--out DIR] [--section.field VALUE ...]
    """
    recipe, experiment, rest = recipe_argument("sweep", argv)
    from genjax.runs.best import best_of
    from genjax.training.sweep import SEED, mine, summary, train_all, trials, write_results

    over, rest = _over(rest)
    sections = flags(type(experiment))

    @dataclasses.dataclass
    class SweepArgs:
        experiment: sections
        seeds: int = 1  # trainings of each combination, from --train.seed on
        out: Path = Path("runs") / f"{Path(recipe).stem}-sweep"  # a folder for the runs, sweep.csv and sweep.html

    args = parse(f"sweep {recipe}", SweepArgs, SweepArgs(experiment), rest)
    if not 1 <= args.seeds <= 1000:
        raise UsageError(f"--seeds {args.seeds}: take 1 to 1000")
    first = args.experiment.train.seed
    everything = trials(over, range(first, first + args.seeds), args.out)
    words = _without(rest, ("--seeds", "--out", SEED))
    for trial in everything:  # a mistake is told before the first of them trains
        parse(f"sweep {recipe}", SweepArgs, SweepArgs(experiment), [*words, *trial.argv])
    failed = train_all(recipe, mine(everything), words)
    best = best_of(args.experiment)
    files = write_results(everything, best, args.out)
    print(_text(summary(everything, best), best))
    print(*files, sep="\n")
    if failed:
        raise UserError(f"{len(failed)} of {len(mine(everything))} trainings failed, {failed[0].out} first: see above")


def _over(argv: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """({flag: values} of every --over, the remaining arguments)."""
    over: dict[str, list[str]] = {}
    rest, words = [], iter([*argv, None])
    word = next(words)
    while word is not None:
        if word != "--over":
            rest.append(word)
            word = next(words)
            continue
        given = []
        while (word := next(words)) is not None and not word.startswith("--"):
            given.append(word)
        if len(given) < 2:
            raise UsageError("--over needs a field and its values, such as --over optim.learning-rate 1e-4 3e-4")
        flag = "--" + given[0].replace("_", "-")
        if flag in over:
            raise UsageError(f"--over {given[0]} is given twice: name all its values once")
        over[flag] = given[1:]
    return over, rest


def _without(argv: list[str], names: tuple[str, ...]) -> list[str]:
    """The arguments without some flags and their value, which may follow after `=`."""
    rest, words = [], iter(argv)
    for word in words:
        if word in names:
            next(words, None)
        elif word.partition("=")[0] not in names:
            rest.append(word)
    return rest


def _text(rows: list[dict], best: tuple[str, str]) -> str:
    """The summary in columns."""
    heads = [*(flag.removeprefix("--") for flag in rows[0]["settings"]), best[0], "95% interval", "runs", ""]
    lines = [heads]
    for row in rows:
        mean, half = row["mean"], row["half"]
        ends = "" if half is None else f"[{mean - half:.4g}, {mean + half:.4g}]"
        value = "no value" if mean is None else f"{mean:.5g}"
        lines.append([*row["settings"].values(), value, ends, str(row["runs"]), "best" if row["best"] else ""])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
