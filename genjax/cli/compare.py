"""The command that shows runs side by side."""

import dataclasses
from pathlib import Path

from genjax.command_line import parse
from genjax.errors import UsageError

__all__ = ["compare"]


def compare(argv: list[str]) -> None:
    """Writes a page of runs side by side: metrics, samples, curves, and what differs in their configurations.

    genjax compare RUN RUN ... --out FILE.html
    """
    import tyro

    @dataclasses.dataclass
    class CompareArgs:
        runs: tyro.conf.Positional[tuple[Path, ...]]  # run directories, two or more
        out: Path  # the page

    args = parse("compare", CompareArgs, None, argv)
    from genjax.runs.compare import write_comparison

    if args.out.suffix != ".html":
        raise UsageError(f"--out {args.out}: the page needs a name that ends in .html")
    print(write_comparison(args.runs, args.out))
