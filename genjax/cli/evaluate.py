"""The command that measures: a run on its own data, or pictures against a data set."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from genjax.cli.arguments import Ranking, RunArgs, first_argument, open_run, progress, run_argument
from genjax.command_line import flags, parse
from genjax.errors import UsageError, UserError, visible

__all__ = ["evaluate"]


def evaluate(argv: list[str]) -> None:
    """Measures a run on the validation split and in the tasks of its recipe, or a folder or .npz of pictures.

    genjax eval RUN|PICTURES [--metrics NAME ...] [--features EXTRACTOR[:FILE]] [--samples N] [--seeds N]
    [--data.path PATH] [the model's own options for samples] [--rerank RUN [--best-of K]]
    """
    place, _ = first_argument("eval", "RUN", argv)
    if Path(place).suffix == ".npz" or (Path(place).is_dir() and not _is_run(Path(place))):
        _pictures(place, argv[1:])
    else:
        _run(argv)


def _is_run(place: Path) -> bool:
    """Whether it is a run directory, as far as a folder without pictures says: then the error is about runs."""
    from genjax.data.images import SUFFIXES

    if (place / "config.json").exists():
        return True
    return not any(file.suffix.lower() in SUFFIXES for file in place.rglob("*"))


def _run(argv: list[str]) -> None:
    out, rest = run_argument("eval", argv)
    from genjax.evaluation.evaluate import Evaluation
    from genjax.evaluation.ranked import ranked
    from genjax.evaluation.table import text
    from genjax.experiment import Eval
    from genjax.metrics.definitions import of_samples
    from genjax.runs import directory as run
    from genjax.runs.best import best_of
    from genjax.runs.evaluations import save_evaluation
    from genjax.runs.report import write_report

    experiment, _ = run.load(out)
    options_class = experiment.model.Options
    choices = flags(options_class)

    @dataclasses.dataclass
    class EvalArgs(Ranking, RunArgs):
        eval: Eval
        options: choices = dataclasses.field(default_factory=options_class)  # how samples are drawn
        metrics: tuple[
            str, ...
        ] = ()  # further ones, on samples: fd, fid, kid, is, pr, dc, ifd, auth, mmd, energy, swd,
        # diversity, pixels, caption, match, bleu, chrf, rouge, smiles, tunes
        features: str | None = None  # EXTRACTOR[:FILE] that they compare pictures by; None = the run's own choice
        samples: int | None = None  # how many are drawn; None = as many as there are examples
        seeds: int = 1  # sets of samples: the mean and the best of them are told
        floor: bool = True  # also measure real examples in place of samples
        split: Literal["validation", "test", "train"] = "validation"  # the examples

    measured = [(name, int, getattr(experiment.model, name)) for name in experiment.model.measured]
    args_class = dataclasses.make_dataclass("EvalArgs", measured, bases=(EvalArgs,))
    args = parse(f"eval {out}", args_class, args_class(experiment.eval), rest)
    if not 1 <= args.seeds <= 100:
        raise UsageError(f"--seeds {args.seeds}: take 1 to 100")
    config = dataclasses.replace(args.eval, metrics=tuple(dict.fromkeys((*args.eval.metrics, *args.metrics))))
    if args.features is not None:
        config = dataclasses.replace(config, features=args.features)
    if args.samples is not None:
        config = dataclasses.replace(config, samples=args.samples, set_size=max(config.set_size, args.samples))
    model = {name: getattr(args, name) for name in experiment.model.measured}
    opened = open_run(out, args, data=True, eval=config, model=model)
    engine = ranked(opened, args.rerank, args.best_of) if args.rerank else opened.engine
    measured = Evaluation(engine, opened.dataset, split=args.split, options=args.options)
    rows = measured.table(opened.state, args.seeds, args.floor, _watched)
    data, step = opened.engine.experiment.data, int(opened.state.step)
    chosen = {f.name: getattr(args.options, f.name) for f in dataclasses.fields(args.options)}
    differing = {name: value for name, value in chosen.items() if value != getattr(options_class(), name)}
    differing |= {"the best of": f"{args.best_of} by {args.rerank}"} if args.rerank else {}
    how = ", ".join(f"{name} {value}" for name, value in differing.items())
    print(visible(f"step {step}, {args.split} split of {data.path or data.source}" + f", samples by {how}" * bool(how)))
    print(visible(text(rows)))
    print(*measured.signatures, sep="\n", end="\n" * bool(measured.signatures))
    about = {"step": step, "split": args.split, "ema": args.ema}
    try:
        run.require_inside(out)
        found = {row.name: {**row._asdict(), **about, "how": how if of_samples(row.name) else ""} for row in rows}
        files = save_evaluation(out, found, measured.sheets)
        write_report(out, best=best_of(opened.engine.experiment))
    except UserError as error:  # the numbers are told
        print(f"genjax: not kept in the run: {error}", file=sys.stderr)
    else:
        print(*files[1:], sep="\n", end="\n" * bool(files[1:]))


def _watched(batches: Iterator, samples: int) -> Iterator:
    return progress(batches, samples, lambda outputs: len(next(iter(outputs.values()))))


def _pictures(place: str, argv: list[str]) -> None:
    from genjax.evaluation.pictures import measure_pictures
    from genjax.evaluation.table import rows, text
    from genjax.experiment import Data
    from genjax.runtime.compilation import enable_cache

    @dataclasses.dataclass
    class PictureArgs:
        data: Data  # the real pictures; others are resized and cropped as these are
        metrics: tuple[str, ...] = ()  # fd, fid, kid, is, pr, dc, ifd, auth, mmd, energy, swd, diversity
        features: str | None = None  # EXTRACTOR[:FILE] that they compare pictures by
        split: Literal["train", "validation", "test"] | None = None  # of the real pictures; None = all

    enable_cache()
    args = parse(f"eval {place}", PictureArgs, PictureArgs(Data()), argv)
    values = measure_pictures(place, args.data, args.metrics, features=args.features, split=args.split)
    print(f"{place} against {args.split or 'all'} pictures of {args.data.path or args.data.source}")
    print(visible(text(rows([values]))))
