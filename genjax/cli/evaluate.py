"""The command that measures: a run on its own data, or pictures against a data set."""

import dataclasses
from pathlib import Path
from typing import Literal

from genjax.cli.arguments import RunArgs, first_argument, open_run, run_argument
from genjax.command_line import parse
from genjax.errors import visible

__all__ = ["evaluate"]


def evaluate(argv: list[str]) -> None:
    """Measures a run on the validation split and in the tasks of its recipe, or a folder or .npz of pictures.

    genjax eval RUN|PICTURES [--metrics NAME ...] [--features EXTRACTOR[:FILE]] [--samples N] [--data.path PATH]
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
    from genjax.evaluation import evaluate as evaluation
    from genjax.experiment import Eval
    from genjax.runs import directory as run

    @dataclasses.dataclass
    class EvalArgs(RunArgs):
        eval: Eval
        metrics: tuple[str, ...] = ()  # further ones, on samples: fd, kid, is, pr, dc, mmd, energy, swd, fid, match
        features: str | None = None  # EXTRACTOR[:FILE] that they compare pictures by; None = the run's own choice
        samples: int | None = None  # how many are drawn; None = as many as there are examples

    experiment, _ = run.load(out)
    measured = [(name, int, getattr(experiment.model, name)) for name in experiment.model.measured]
    args_class = dataclasses.make_dataclass("EvalArgs", measured, bases=(EvalArgs,))
    args = parse(f"eval {out}", args_class, args_class(experiment.eval), rest)
    config = dataclasses.replace(args.eval, metrics=tuple(dict.fromkeys((*args.eval.metrics, *args.metrics))))
    if args.features is not None:
        config = dataclasses.replace(config, features=args.features)
    if args.samples is not None:
        config = dataclasses.replace(config, samples=args.samples, set_size=max(config.set_size, args.samples))
    model = {name: getattr(args, name) for name in experiment.model.measured}
    opened = open_run(out, args, data=True, eval=config, model=model)
    metrics = evaluation.evaluate(opened.engine, opened.state, opened.dataset)
    data = opened.engine.experiment.data
    print(visible(f"step {int(opened.state.step)}, validation split of {data.path or data.source}"))
    _print(metrics)


def _pictures(place: str, argv: list[str]) -> None:
    from genjax.evaluation.pictures import measure_pictures
    from genjax.experiment import Data
    from genjax.runtime.compilation import enable_cache

    @dataclasses.dataclass
    class PictureArgs:
        data: Data  # the real pictures; others are resized and cropped as these are
        metrics: tuple[str, ...] = ()  # fd, kid, is, pr, dc, mmd, energy, swd, fid
        features: str | None = None  # EXTRACTOR[:FILE] that they compare pictures by
        split: Literal["train", "validation", "test"] | None = None  # of the real pictures; None = all

    enable_cache()
    args = parse(f"eval {place}", PictureArgs, PictureArgs(Data()), argv)
    values = measure_pictures(place, args.data, args.metrics, features=args.features, split=args.split)
    print(f"{place} against {args.split or 'all'} pictures of {args.data.path or args.data.source}")
    _print(values)


def _print(values: dict[str, float]) -> None:
    width = max([23, *map(len, values)])
    for name, value in values.items():
        print(f"{visible(name):<{width}} {value:.6g}")
