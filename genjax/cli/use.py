"""Commands that use a trained run: samples, codes, weights."""

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import Literal

from genjax.cli.arguments import Ranking, RunArgs, open_run, progress, run_argument
from genjax.command_line import flags, parse
from genjax.errors import UsageError, UserError, visible
from genjax.memory import free_on_disk, require_room

__all__ = ["encode", "export", "sample"]

DRAWN = 64  # samples, where nothing says how many
LINES = 24  # of words that are shown in the terminal; the file has all of them
SHEET = 4096  # most samples that share a picture or a page; further ones are written to NAME-part1, NAME-part2, ...


def sample(argv: list[str]) -> None:
    """Draws samples from a run.

    genjax sample RUN [--num N] [--seed S] [--out FILE] [--checkpoint STEP] [--ema SIGMA|false] [the model's options]
    [--rerank RUN [--best-of K]]
    """
    from genjax.evaluation.conditions import conditions
    from genjax.evaluation.ranked import ranked
    from genjax.evaluation.sampling import parts, size_of_all
    from genjax.evaluation.streaming import streamed
    from genjax.evaluation.turned import turned
    from genjax.runs import directory as run
    from genjax.runs.exports import save_archive, save_pictures
    from genjax.runs.sheets import require_format, save_outputs, save_samples, words
    from genjax.spec import Image

    out, rest = run_argument("sample", argv)
    model = run.load(out)[0].model
    if not model.samples:
        raise UserError(f"'{out}' is a run of {type(model).__name__}, which makes no samples: see `genjax eval`")
    choices = flags(model.Options)

    @dataclasses.dataclass
    class SampleArgs(Ranking, RunArgs):
        options: choices = dataclasses.field(default_factory=model.Options)
        num: int | None = None  # samples; None = one for each text to be translated, or 64
        seed: int = 0
        out: Path | None = (
            None  # .png, .jpg, .webp, .gif, .mp4, .txt, .npz, a folder of PNGs, or - to print words alone;
        )
        # None = RUN/samples/sample-SEED, or a name beside it that is not taken

    args = parse(f"sample {out}", SampleArgs, SampleArgs(), rest)
    num = (args.options.count or DRAWN) if args.num is None else args.num
    if num < 1 or not 0 <= args.seed < 2**32:
        raise UsageError(f"--num {num} --seed {args.seed}: take at least one sample, and a seed in [0, 2^32)")
    turns = bool(getattr(args.options, "path", None)) and not args.options.count  # pictures, not texts
    streams = getattr(args.options, "stream", False)
    if turns and (args.rerank or args.num is not None):
        raise UsageError("--path of pictures: one is made of each, and neither --num nor --rerank goes with it")
    if streams and args.out:
        raise UsageError(f"--stream shows a text as it is drawn, and writes none: leave --out {args.out} out")
    opened = open_run(out, args, data=bool(model.needs(model.check(args.options))))
    if turns:
        for picture in turned(opened, args.options, args.out or out / "samples" / "turned", args.seed):
            print(picture)
        return
    if args.out and args.out.suffix:
        require_format(args.out)
    engine = ranked(opened, args.rerank, args.best_of) if args.rerank else opened.engine
    model, spec = engine.model, engine.spec
    given, options = conditions(model, args.options, spec, opened.dataset, opened.tokenizer, num)
    if (number := len(given["index"])) < num:
        print(f"genjax: {number} samples: the validation split has no more examples", file=sys.stderr)
    if streams:
        streamed(engine, opened.state, given, opened.tokenizer, _show, seed=args.seed, options=options)
        print()
        return
    printed = str(args.out) == "-"
    save = save_samples if args.out is None else save_outputs
    if args.out is None:
        run.require_inside(out)
    place = args.out or _unused(out / "samples" / f"sample-{args.seed}")
    fields, layout = spec.fields | model.outputs(spec), model.layout(model.check(args.options))
    if number > SHEET:
        size = size_of_all(engine, opened.state, given, seed=args.seed, options=options)
        require_room(size, f"{number} samples", "take a smaller --num", there=free_on_disk(place))
    most = None if place.suffix == ".txt" else SHEET
    drawn = parts(engine, opened.state, given, seed=args.seed, options=options, most=most)
    watched = progress(drawn, number, lambda part: len(part[1]["index"]))
    if args.out and place.suffix == ".npz":
        print(save_archive(place, watched, fields, number))
        return
    if (
        args.out
        and not printed
        and not place.suffix
        and any(isinstance(field, Image) for field in model.outputs(spec).values())
    ):
        print(save_pictures(place, watched, fields))
        return
    for part, (outputs, rows) in enumerate(drawn):
        if printed:
            print(words(outputs, fields, rows, layout, opened.tokenizer), end="")
            continue
        path = place.with_name(f"{place.stem}-part{part}{place.suffix}") if part else place
        for file in save(path, outputs, fields, rows, layout, opened.tokenizer):
            print(file)
            if file.suffix == ".txt" and not part:
                print(_beginning(file.read_text("utf-8", "replace")), end="")


def _unused(place: Path) -> Path:
    """The place, or with a number behind it the first that no file of samples has: no draw overwrites another."""
    taken = {file.name.partition(".")[0] for file in place.parent.glob(f"{place.name}*")}
    names = (f"{place.name}{number}" for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
    return place.with_name(next(name for name in names if name not in taken))


def _show(piece: str) -> None:
    print("\n".join(map(visible, piece.split("\n"))), end="", flush=True)


def _beginning(words: str) -> str:
    """The first lines of what was written, and how many more there are."""
    lines = words.splitlines()
    more = len(lines) - LINES
    return "\n".join(map(visible, lines[:LINES])) + "\n" + (f"... and {more} more lines\n" if more > 0 else "")


@dataclasses.dataclass
class ExportArgs(RunArgs):
    out: Path | None = None  # .safetensors, or a folder for hf; None = RUN/weights.safetensors or RUN/hf
    format: Literal["genjax", "hf"] = "genjax"  # hf: a folder that transformers or diffusers load


def export(argv: list[str]) -> None:
    """Writes the weights of a run alone, with the model's state, as safetensors; or a folder for other libraries.

    genjax export RUN [--out FILE] [--format hf --out FOLDER] [--checkpoint latest|best|STEP] [--ema SIGMA|false]
    """
    from genjax.runs.foreign import export_folder
    from genjax.runs.weights import WEIGHTS, export_weights

    run, rest = run_argument("export", argv)
    args = parse(f"export {run}", ExportArgs, ExportArgs(), rest)
    if args.format == "genjax" and args.out and args.out.suffix != ".safetensors":
        raise UsageError(f"--out {args.out}: weights are a file .safetensors; --format hf makes a folder")
    opened = open_run(run, args)
    model, state, tokenizer = opened.engine.model, opened.state, opened.tokenizer
    if args.format == "hf":
        print(*export_folder(model, state, args.out or run / "hf", tokenizer), sep="\n")
    else:
        print(export_weights(model, state, args.out or run / WEIGHTS, tokenizer))


@dataclasses.dataclass
class EncodeArgs(RunArgs):
    out: Path | None = None  # for --data.path: a folder, for data of any size, or .npz; None = RUN/codes or latents.npz


def encode(argv: list[str]) -> None:
    """Encodes a run's data, once, by its first stage: the data of a model of its codes, such as latent diffusion.

    genjax encode RUN [--out PLACE] [--checkpoint latest|best|STEP] [--data.path PATH] [--recipe FILE]
    """
    from genjax.evaluation import encoding
    from genjax.spec import Latent

    run, rest = run_argument("encode", argv)
    args = parse(f"encode {run}", EncodeArgs, EncodeArgs(), rest)
    opened = open_run(run, args, data=True)
    default = "latents.npz" if isinstance(opened.engine.model.code, Latent) else "codes"
    place, words = encoding.encode(opened, args.out or run / default)
    print(f"{place}: {words}, for --data.path")
