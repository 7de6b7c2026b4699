"""The command that shows a training as a film."""

import dataclasses
from pathlib import Path

from genjax.cli.arguments import run_argument
from genjax.command_line import parse

__all__ = ["film"]


def film(argv: list[str]) -> None:
    """A run's training as a film of the samples that it drew on its way; .mp4 needs the extra `film`.

    genjax film RUN [--of reconstruct] [--out FILE.gif|FILE.mp4]
    """
    run, rest = run_argument("film", argv)

    @dataclasses.dataclass
    class FilmArgs:
        out: Path | None = None  # .gif or .mp4; None = RUN/training.gif
        of: str = ""  # which of the run's sheets: STEP.png, or STEP-KIND.png for the name KIND

    args = parse(f"film {run}", FilmArgs, FilmArgs(), rest)
    from genjax.runs.films import write_training_film

    print(write_training_film(run, args.out or run / "training.gif", args.of))
