"""Samples as files, by the kinds of their fields: pictures in a grid, with words under them, or a sheet of words."""

import contextlib
import io
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.errors import UsageError
from genjax.files import write_atomic
from genjax.metrics.abc_notation import parse
from genjax.models.base import Layout
from genjax.runs.chains import chain_picture
from genjax.runs.films import FILMS, film, require_encoder
from genjax.runs.grids import beside, image_grid, png, recoded
from genjax.runs.heat_maps import heat_maps
from genjax.runs.legends import TRAJECTORY, legend, under
from genjax.runs.sound import wav
from genjax.spec import Field, Image, Label, States, Tokens

__all__ = ["GIVEN", "field_texts", "require_format", "save_outputs", "save_samples", "words"]

GIVEN = "given."  # stands before the name of a condition in a layout
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
LIKELIEST = 5  # classes that are told of a label with its probabilities
STRIPS, MAPS, SOUNDS = 8, 3, 3  # samples shown with their trajectory, with their maps, and played


def save_samples(
    path_without_suffix: Path,
    outputs: Mapping[str, np.ndarray],
    fields: Mapping[str, Field],
    given: Mapping[str, np.ndarray] = {},
    layout: Layout = Layout(),
    tokenizer: Any = None,
) -> list[Path]:
    """`save_outputs` in the samples' own format: .png where there are pictures, else .txt for words, else .npz."""
    suffix = _suffixes(_shown(outputs, fields, given, layout))[0]
    return save_outputs(Path(f"{path_without_suffix}{suffix}"), outputs, fields, given, layout, tokenizer)


def save_outputs(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    fields: Mapping[str, Field],
    given: Mapping[str, np.ndarray] = {},
    layout: Layout = Layout(),
    tokenizer: Any = None,
) -> list[Path]:
    """Writes samples in the format of the suffix: pictures, .gif or .mp4 (films), .txt (words), or .npz (raw arrays).

    Args:
      outputs: as `Model.sample` returned them.
      fields: the kinds of outputs and conditions, by name.
      given: the conditions, of which `layout` may show some.

    Returns:
      The files. Where the layout leaves several fields of pictures apart, each has a grid of its own, NAME-FIELD.png.
      Beside NAME.png stands NAME-trajectory.png, a row for each of the first samples, where there is a trajectory;
      beside NAME.txt stands NAME-MAP.png for each of the layout's maps, and NAME-I.wav for the first tunes.

    Raises:
      UsageError: a suffix that does not fit the samples. UserError: the file cannot be written.
    """
    path, shown = Path(path), _shown(outputs, fields, given, layout)
    if path.suffix not in (fitting := _suffixes(shown)):
        raise UsageError(f"{path} cannot hold these samples: choose a name that ends in {' or '.join(fitting)}")
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **{name: np.asarray(value) for name, value in outputs.items()})
        return [write_atomic(path, buffer.getvalue())]
    arrays = _arrays(outputs, given)
    if path.suffix in PICTURES and (name := next((n for n, kind in shown.items() if isinstance(kind, States)), None)):
        chain = chain_picture(arrays, name, shown[name], fields, tokenizer)
        return [write_atomic(path, recoded(chain, path.suffix))]
    texts = _texts(arrays, shown, tokenizer)
    if path.suffix == ".txt":
        sheet = words(outputs, fields, given, layout, tokenizer)
        beside_it = _maps(path, arrays, layout, tokenizer) | _sounds(path, texts, shown)
        return [write_atomic(file, data) for file, data in {path: sheet.encode(errors="replace"), **beside_it}.items()]
    captions = [" · ".join(" ".join(text.split()) for text in row) for row in zip(*texts.values())]
    pictures = tuple(name for name in shown if name not in texts)
    files = {path: pictures}
    if len(pictures) > 1 and not layout.beside:
        files = {path.with_name(f"{path.stem}-{name}{path.suffix}"): (name,) for name in pictures}
    if path.suffix in FILMS:
        frames = [image_grid(image[None], columns=1) for image in beside([arrays[name] for name in pictures])]
        return [write_atomic(path, film(frames, path.suffix))]
    grids = {}
    for file, names in files.items():
        grid = image_grid(beside([arrays[name] for name in names]), layout.columns, captions)
        grids[file] = under(grid, legend([_title(name, names) for name in names], given, fields))
    if (frames_NKHWC := outputs.get("trajectory")) is not None:
        grids[path.with_name(f"{path.stem}-trajectory{path.suffix}")] = under(
            image_grid(frames_NKHWC[:STRIPS], columns=1), TRAJECTORY
        )
    return [write_atomic(file, recoded(png(grid), file.suffix)) for file, grid in grids.items()]


def require_format(path: Path) -> None:
    """For a file that samples shall go to, before they are drawn.

    Raises UsageError for a suffix that no samples have, UserError for an .mp4 where there is no encoder.
    """
    if path.suffix not in (known := (*PICTURES, *FILMS, ".txt", ".npz")):
        raise UsageError(f"--out {path}: choose a name that ends in {' or '.join(known)}, or a folder")
    if path.suffix == ".mp4":
        require_encoder()


def words(
    outputs: Mapping[str, np.ndarray],
    fields: Mapping[str, Field],
    given: Mapping[str, np.ndarray] = {},
    layout: Layout = Layout(),
    tokenizer: Any = None,
) -> str:
    """The words of samples as `save_outputs` writes them. Raises UsageError where there are none."""
    shown = _shown(outputs, fields, given, layout)
    if not (texts := _texts(_arrays(outputs, given), shown, tokenizer)):
        raise UsageError(
            f"--out -: these samples are no words; name a file that ends in {' or '.join(_suffixes(shown))}"
        )
    labels = all(isinstance(shown[name], Label) for name in texts)
    return _lines(texts) if layout.lines else _list(texts) if labels else _sheet(texts)


def _texts(arrays: Mapping[str, np.ndarray], shown: Mapping[str, Field], tokenizer: Any) -> dict[str, list[str]]:
    kinds = {name: kind for name, kind in shown.items() if isinstance(kind, Tokens | Label)}
    return {name: field_texts(name, arrays, kind, tokenizer) for name, kind in kinds.items()}


def _arrays(outputs: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**outputs, **{f"{GIVEN}{name}": array for name, array in given.items()}}


def _shown(
    outputs: Mapping[str, np.ndarray], fields: Mapping[str, Field], given: Mapping[str, np.ndarray], layout: Layout
) -> dict[str, Field]:
    """The kinds of what there is a renderer for, by name. An array without a field is a picture if it has the shape."""
    kinds = {}
    for name in layout.beside or [name for name in outputs if name in fields]:
        kind, shape = fields.get(name.removeprefix(GIVEN)), _arrays(outputs, given)[name].shape
        if kind is None and len(shape) == 4:
            kind = Image(*shape[1:])
        if isinstance(kind, Image | Tokens | Label | States):
            kinds[name] = kind
    return kinds


def _suffixes(shown: Mapping[str, Field]) -> list[str]:
    """The formats that there are for fields of these kinds, the best one first."""
    pictures = [isinstance(kind, Image | States) for kind in shown.values()]
    return [*PICTURES, *FILMS] * any(pictures) + [".txt"] * (not all(pictures)) + [".npz"]


def field_texts(name: str, arrays: Mapping[str, np.ndarray], field: Field, tokenizer: Any) -> list[str]:
    """What the rows of a field say; ids where there is no tokenizer, and numbers where classes have no names.

    Labels with NAME_probability (N, K) are told as the likeliest classes, each with its own.
    """
    array = np.asarray(arrays[name])
    if isinstance(field, Label):
        names = field.names or tuple(map(str, range(field.classes)))
        if (shares := arrays.get(f"{name}_probability")) is None:
            return [names[i] for i in array.tolist()]
        order = np.argsort(-shares, axis=-1, kind="stable")[:, :LIKELIEST].tolist()
        return [", ".join(f"{names[k]} {row[k]:.3f}" for k in ids) for ids, row in zip(order, shares)]
    lengths = arrays.get(f"{name}_length", [array.shape[1]] * len(array))
    decode = tokenizer.decode if tokenizer is not None else lambda ids: " ".join(map(str, ids))
    return [decode(ids[:length].tolist()) for ids, length in zip(array, lengths)]


def _sheet(texts: dict[str, list[str]]) -> str:
    """The texts of each sample under a numbered rule; with the fields' names where there are several."""
    rows = list(zip(*texts.values()))
    names = [f"{_title(name, texts)}: " if len(texts) > 1 else "" for name in texts]
    bodies = ("".join(f"{name}{text}\n" for name, text in zip(names, row)) for row in rows)
    return "".join(f"{f'──── {i} of {len(rows)} ':─<40}\n{body}" for i, body in enumerate(bodies, 1))


def _title(name: str, others: Container[str]) -> str:
    """The field's name; of a condition, with a word that tells it from what was made."""
    field = name.removeprefix(GIVEN)
    return f"{field} of the data" if field != name and field in others else field


def _lines(texts: dict[str, list[str]]) -> str:
    """The words of a sample in each line."""
    return "".join(" ".join(" ".join(row).split()) + "\n" for row in zip(*texts.values()))


def _maps(path: Path, arrays: Mapping[str, np.ndarray], layout: Layout, tokenizer: Any) -> dict[Path, bytes]:
    """File -> picture of each of the layout's maps, of the first samples."""

    def pieces(name: str | tuple[str, ...]) -> list[list[str]]:
        if isinstance(name, tuple):
            return [list(name)] * min(MAPS, len(next(iter(arrays.values()))))
        decode = tokenizer.decode if tokenizer is not None else lambda ids: str(ids[0])
        lengths = arrays[f"{name}_length"][:MAPS]
        return [[decode([i]) for i in ids[:length].tolist()] for ids, length in zip(arrays[name], lengths)]

    return {
        path.with_name(f"{path.stem}-{name}.png"): heat_maps(arrays[name][:MAPS], pieces(rows), pieces(columns))
        for name, rows, columns in layout.maps
    }


def _sounds(path: Path, texts: Mapping[str, list[str]], shown: Mapping[str, Field]) -> dict[Path, bytes]:
    """File -> sound of the first samples that are tunes in ABC notation, by their numbers on the sheet."""
    found = {}
    for name, rows in texts.items():
        if getattr(shown[name], "notation", "") != "abc":
            continue
        for number, text in enumerate(rows, 1):
            with contextlib.suppress(ValueError):  # no tune
                found[path.with_name(f"{path.stem}-{number}.wav")] = wav(parse(text))
            if len(found) == SOUNDS:
                break
    return found


def _list(labels: dict[str, list[str]]) -> str:
    return "".join(f"{i}  {'  '.join(row)}\n" for i, row in enumerate(zip(*labels.values()), 1))
