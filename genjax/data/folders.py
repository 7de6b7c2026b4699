"""Folders of images: classes by sub-folder, captions and attributes from a metadata file, or two domains."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genjax.data import readers
from genjax.data.columns import Columns, columns_dataset, objects
from genjax.data.compose import Zip
from genjax.data.dataset import Dataset, hold_out
from genjax.data.images import SUFFIXES, Files, choose_view, encoded
from genjax.data.tables import read_table, with_files
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Epochs
from genjax.spec import DataSpec, Image

__all__ = ["domains", "folder"]

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
METADATA = ("metadata.jsonl", "metadata.csv")
DOMAINS = {"A": "image_a", "B": "image_b"}


def folder(data: Data, path: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A folder of images: its sub-folders are the classes in sorted order, or the images have no labels.

    Sub-folders `train`, and `validation` (val, valid, dev) or `test`, are the splits, where they exist; a lone second
    split validates, and without one a seeded share of --data.validation is held out. Images of a class are read at any
    depth; names that begin with a dot are ignored.

    A `metadata.jsonl` or `metadata.csv` beside the images of a split says more of them: `file_name`, relative to it,
    and a column for each further field, as Hugging Face's imagefolder has it. Images that it does not name are left
    out.

    Raises UserError where there are no images, where images lie beside folders of images, where the splits differ in
    classes, and where the metadata names a picture that is not there.
    """
    notes: list[str] = []
    splits = _splits(path, notes)
    columns, classes = {}, {}
    for split, place in splits.items():
        columns[split], classes[split] = _split(place, notes)
    for split in [split for split in splits if split != "train" and not set(classes[split]) <= set(classes["train"])]:
        raise UserError(
            f"{path}: train and {splits[split].name} have different classes: {_list(classes['train'])} and "
            f"{_list(classes[split])}"
        )
    if classes["train"]:
        for split in [split for split in splits if not classes[split] and "label" not in columns[split]]:
            count = len(columns.pop(split)["image"])
            notes.append(f"{splits[split]}: left out {count} images that are in no class, as those of train are")
    if classes["train"]:
        place = {name: n for n, name in enumerate(classes["train"])}
        for part in columns.values():
            part["label"] = np.array([place[name] for name in part["label"]], np.int32)
    return columns_dataset(
        data,
        str(path),
        columns,
        tokenizer,
        kinds={"label": "label"} if classes["train"] else {},
        names={"label": classes["train"]} if classes["train"] else {},
        notes=notes,
    )


def _splits(path: Path, notes: list[str]) -> dict[str, Path]:
    """The folder of each split: sub-folders of these names, or the folder itself.

    Raises UserError where two folders have names of one split, and where it is open what a folder is.
    """
    named, others = {}, []
    for sub in _subfolders(path):
        split = SPLITS.get(sub.name.lower())
        if split is None:
            others.append(sub)
        elif split in named:
            raise UserError(
                f"{path}: {named[split].name} and {sub.name} are both the {split} split: rename one of them"
            )
        else:
            named[split] = sub
    split = "train" in named and (len(named) > 1 or not others or bool(_subfolders(named["train"])))
    if not split:
        if held := [sub for name, sub in named.items() if others and name != "train"]:
            raise UserError(
                f"{path}: is {held[0].name} a split, or a class like {others[0].name}? If a split, move the classes "
                f"into {path / 'train'}; if a class, rename it"
            )
        return {"train": path}
    if pictures := [sub for sub in others if _images(sub)[0]]:
        raise UserError(
            f"{path}: {named['train'].name} is a split, and {pictures[0].name} beside it is none: name it validation "
            "or test, or move it away"
        )
    notes += [f"{sub}: is no split, and is not read" for sub in others]
    return named


def is_domains(path: Path) -> bool:
    return any((path / f"train{letter}").is_dir() for letter in DOMAINS)


@readers.register("domains", folder=is_domains)
def domains(data: Data, path: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """Two unpaired domains, `image_a` and `image_b`: the folders trainA and trainB; testA and testB, if they exist.

    They are laid out as for CycleGAN (Zhu et al. 2017). valA and valB validate, where they exist. Both domains are
    shown alike: their sizes and channels are chosen together. In the order of epochs, files of one name are pairs.

    Raises UserError where a domain is missing or empty, or a picture of a pair.
    """
    if data.fields:
        raise UsageError(
            f"--data.fields {data.fields[0]}: the fields of two domains are {' and '.join(DOMAINS.values())}"
        )
    pairs = isinstance(data.order, Epochs)
    parts: dict[str, dict[str, Files]] = {}
    for word, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        folders = {name: path / f"{word}{letter}" for letter, name in DOMAINS.items()}
        there = [place for place in folders.values() if place.is_dir()]
        if not there:
            continue
        if len(there) < len(folders):
            lacks = next(place for place in folders.values() if place not in there)
            raise UserError(f"{path}: {there[0].name} needs a folder {lacks.name} beside it, of the other domain")
        parts[split] = {name: Files.of(_images(place)[0]) for name, place in folders.items()}
        if empty := [folders[name] for name, files in parts[split].items() if not len(files)]:
            raise UserError(f"{empty[0]}: no images here: one of the two domains is empty")
        if pairs:
            _require_pairs(parts[split], folders)
    if "train" not in parts:
        raise UserError(f"{path}: needs the folders trainA and trainB")
    if "validation" not in parts:
        parts["validation"] = parts.pop("test", {})
    if not parts["validation"]:
        held = {name: hold_out(len(files), data.validation, str(path)) for name, files in parts["train"].items()}
        whole = parts["train"]
        for n, split in enumerate(("train", "validation")):
            parts[split] = {name: whole[name][ids[n]] for name, ids in held.items()}
    skipped: dict[str, str] = {}
    view, shape = choose_view(data, [files for part in parts.values() for files in part.values()], skipped, str(path))
    views = dict.fromkeys(DOMAINS.values(), view)
    splits = [
        encoded(data, part, views, skipped)
        if pairs
        else Zip({name: encoded(data, {name: files}, {name: view}, skipped) for name, files in part.items()}, "random")
        for part in parts.values()
    ]
    return Dataset(
        DataSpec({name: Image(*shape) for name in DOMAINS.values()}, *map(len, splits)), *splits, skipped=skipped
    )


def _require_pairs(part: dict[str, Files], folders: dict[str, Path]) -> None:
    names = {field: {Path(files.name(i)).stem for i in files.ids_N} for field, files in part.items()}
    for (field, place), other in zip(folders.items(), reversed(folders)):
        if alone := sorted(names[field] - names[other]):
            raise UserError(
                f"{place}: {alone[0]} has no partner of that name in {folders[other].name}; "
                "unpaired domains need --data.order Unpaired"
            )


def _split(path: Path, notes: list[str]) -> tuple[Columns, tuple[str, ...]]:
    """The columns of a split, and the names of its classes."""
    metadata = next((path / name for name in METADATA if (path / name).is_file()), None)
    if metadata is not None:
        return _described(path, metadata, notes), ()
    classes = {}
    for sub in _subfolders(path):
        files, others = _images(sub)
        _note(sub, others, notes)
        if files:
            classes[sub.name] = files
    flat, others = _images(path, deep=False)
    _note(path, others, notes)
    if flat and classes:
        raise UserError(f"{path}: has images beside its folders {_list(tuple(classes))}; move them into a class")
    if not flat and not classes:
        texts = any(file.suffix == ".txt" for file in path.iterdir())
        hint = f"; for texts, `genjax corpus {path}/*.txt --out corpus` makes data of them" if texts else ""
        raise UserError(f"{path}: no images here; {', '.join(suffix[1:] for suffix in SUFFIXES)} files are read{hint}")
    if not classes:
        return {"image": Files.of(flat)}, ()
    files = [file for group in classes.values() for file in group]
    labels = objects([name for name, group in classes.items() for _ in group])
    return {"image": Files.of(files), "label": labels}, tuple(classes)


def _described(path: Path, metadata: Path, notes: list[str]) -> Columns:
    columns, _ = read_table(metadata, ["file_name"])
    names = [name for name in columns if name == "file_name" or name.endswith("_file_name")]
    if not names:
        raise UserError(f"{metadata}: needs a column `file_name`; it has {', '.join(columns)}")
    found = with_files(columns, path, str(metadata))
    named = {str(file) for column in found.values() for file in column if isinstance(file, Path)}
    if left := [file for file in _images(path)[0] if str(file) not in named]:
        notes.append(f"{metadata}: left out {len(left)} images that it does not name, such as {left[0].name}")
    return found


def _subfolders(path: Path) -> list[Path]:
    return [sub for sub in sorted(path.iterdir()) if sub.is_dir() and sub.name[0] != "."]


def _images(path: Path, deep: bool = True) -> tuple[list[Path], Counter]:
    """The image files of a folder, sorted, and the suffixes of the other files, with their numbers."""
    images, others = [], Counter()
    for file in _files(path) if deep else path.iterdir():
        if file.name[0] == "." or not file.is_file():
            continue
        if file.suffix.lower() in SUFFIXES:
            images.append(file)
        else:
            others[file.suffix.lower() or file.name] += 1
    return sorted(images), others


def _files(path: Path) -> Iterator[Path]:
    """Every visible file below `path`; links to folders are followed, but not in circles."""
    seen = set()
    for place, folders, files in os.walk(path, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = [
            name for name in folders if name[0] != "." and os.path.realpath(os.path.join(place, name)) not in seen
        ]
        yield from (Path(place, name) for name in files)


def _note(path: Path, others: Counter, notes: list[str]) -> None:
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
        notes.append(f"{path}: files that are no images are not read: {kinds}")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "none"
