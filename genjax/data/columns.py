"""From named columns to a data set: which column is which field, what is held out, one tokenizer for all texts."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genjax.data import builders
from genjax.data.compose import Zip
from genjax.data.dataset import Dataset, Source, hold_out
from genjax.data.images import Files, choose_view
from genjax.data.images import encoded as encode
from genjax.data.kinds import Asked, Column, asked, kind_of, missing
from genjax.data.tokenizers import Tokenizer, make_tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import DataSpec, Field, Image

__all__ = ["columns_dataset", "objects"]

Columns = dict[str, Column]
SPLITS = ("train", "validation", "test")
ROWS = "/rows"  # beside the columns: the number of each row, which no field can have the name of
NUMBERS = ("image", "label", "tokens", "real", "mask")  # kinds that columns of numbers may be of


def objects(values: Sequence) -> np.ndarray:
    """(N,) of objects, also where the values are lists."""
    array = np.empty(len(values), object)
    for n, value in enumerate(values):
        array[n] = value
    return array


def columns_dataset(
    data: Data,
    place: str,
    splits: Mapping[str, Columns],
    tokenizer: Tokenizer | None = None,
    *,
    kinds: Mapping[str, str] = {},
    names: Mapping[str, Sequence[str]] = {},
    unused: Sequence[str] = (),
    notes: Sequence[str] = (),
    notation: str = "",
) -> Dataset:
    """The data set of columns of one length in each split.

    Without `validation`, `test` validates; without both a share of --data.validation is held out. Rows with an empty
    text are left out and counted; with --data.strict they are refused.

    Args:
      place: the data's name, for messages.
      splits: the columns of `train`, `validation` and `test`.
      kinds: the kind of a column, where it is known.
      names: the names of a label's classes 0, 1, ..., by column.
      unused: columns that became nothing; those that --data.fields leaves out are added.
      notes: as `Dataset` has them.
      notation: of all texts, as `Tokens` has it.

    Raises:
      UsageError: --data.fields names a column that is not there.
      UserError: a column is of no kind, or not of the kind that is asked for.
    """
    common = [column for column in splits["train"] if all(column in part for part in splits.values())]
    wanted, lacking = [], dict.fromkeys(column for part in splits.values() for column in part if column not in common)
    for ask in asked(data.fields, common, place):
        columns = [part[ask.column] for part in splits.values()]
        guess = next(filter(None, (kind_of(ask.field, column) for column in columns)), None)
        kind = ask.kind or kinds.get(ask.column) or guess
        if kind is None and data.fields:
            empty = all(missing(column).all() for column in columns)
            why = "has no value in any example" if empty else "is neither numbers nor text"
            raise UserError(f"{place}: `{ask.column}` {why}, and can be no field")
        if kind is not None:
            wanted.append(ask._replace(kind=kind))
    if not wanted:
        raise UserError(
            f"{place}: has no column that can be a field; it has {', '.join([*common, *lacking]) or 'none'}"
        )
    splits = {split: dict(columns) for split, columns in splits.items()}
    for ask in wanted:
        for columns in splits.values():
            columns[ask.column] = _blank(columns[ask.column]) if ask.kind in ("label", "real") else columns[ask.column]
            _check_kind(ask, columns[ask.column], place)
    taken = {ask.column for ask in wanted}
    unused = tuple(dict.fromkeys([*unused, *lacking, *(column for column in common if column not in taken)]))
    parts = {split: {ask.field: columns[ask.column] for ask in wanted} for split, columns in splits.items()}
    for columns in parts.values():
        columns[ROWS] = np.arange(len(next(iter(columns.values()))))
    parts, dropped = _without_empty_texts(data, place, parts, [ask.field for ask in wanted if ask.kind == "text"])
    parts = _with_validation(data, "; ".join(dropped) or place, parts, wanted)
    classes = {ask.field: names.get(ask.column, ()) for ask in wanted}
    builder = _Builder(data, place, list(parts), tokenizer, classes, notation)
    sources = builder.build(wanted, parts)
    spec = DataSpec(builder.fields, *map(len, sources))
    texts = {
        split: {ask.field: columns[ask.field] for ask in wanted if ask.kind == "text"}
        for split, columns in parts.items()
    }
    rows = {split: np.asarray(columns[ROWS]) for split, columns in parts.items()}
    noted = {"unused": unused, "notes": (*notes, *dropped, *builder.notes), "skipped": builder.skipped}
    return Dataset(spec, *sources, tokenizer=builder.tokenizer, texts=texts, rows=rows, **noted)


def _blank(column: Column) -> Column:
    """The column with None for empty texts."""
    if isinstance(column, Files) or column.dtype != object:
        return column
    return objects([None if isinstance(value, str) and not value.strip() else value for value in column])


def _check_kind(ask: Asked, column: Column, place: str) -> None:
    values = column[~missing(column)]
    pictures = isinstance(column, Files) or any(isinstance(value, Path) for value in values[:1])
    texts = not pictures and column.dtype == object and all(isinstance(value, str) for value in values)
    found = "images" if pictures else "text" if texts else "numbers"
    if ask.kind not in {"images": ("image",), "text": ("text", "label", "real")}.get(found, NUMBERS):
        raise UserError(f"{place}: `{ask.column}` is {found}, and cannot be of kind {ask.kind}")
    if ask.kind == "label" and column.dtype == object and any(builders.as_array(value).ndim for value in values):
        raise UserError(f"{place}: `{ask.column}` must have one class for each example, not several")


def _without_empty_texts(
    data: Data, place: str, parts: dict[str, Columns], texts: list[str]
) -> tuple[dict[str, Columns], list[str]]:
    notes = []
    for split, columns in parts.items():
        for name in texts:
            empty = np.array([not (text or "").strip() for text in columns[name]], bool)
            if not empty.any():
                continue
            row = f"the first is example {np.flatnonzero(empty)[0] + 1} of {split}"
            if data.strict:
                raise UserError(f"{place}: {empty.sum()} empty text(s) in `{name}`, {row}; leave --data.strict off")
            if empty.all():
                raise UserError(f"{place}: every text of `{name}` is empty in {split}")
            notes.append(f"{place}: left out {empty.sum()} example(s) with an empty `{name}`; {row}")
            columns = {other: column[~empty] for other, column in columns.items()}
        parts = {**parts, split: columns}
    return parts, notes


def _with_validation(data: Data, place: str, parts: dict[str, Columns], wanted: list[Asked]) -> dict[str, Columns]:
    """The splits in order; one that validates is made where there is none."""
    if "validation" in parts:
        return {split: parts[split] for split in SPLITS if split in parts}
    if "test" in parts:
        return {"train": parts["train"], "validation": parts["test"]}
    columns = parts["train"]
    labels = [ask.field for ask in wanted if ask.kind == "label" and columns[ask.field].ndim == 1]
    label = next((field for field in labels if not missing(columns[field]).any()), None)
    count = len(next(iter(columns.values())))
    label_N = None if label is None else np.unique(columns[label].astype(str), return_inverse=True)[1]
    held = hold_out(count, data.validation, place, label_N if label_N is not None and len(label_N) == count else None)
    return {split: {name: column[ids] for name, column in columns.items()} for split, ids in zip(SPLITS, held)}


@dataclasses.dataclass
class _Builder:
    """What the fields of one data set share while they are built."""

    data: Data
    place: str
    splits: list[str]
    tokenizer: Tokenizer | None
    names: dict[str, Sequence[str]]
    notation: str = ""
    fields: dict[str, Field] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def build(self, wanted: list[Asked], parts: dict[str, Columns]) -> list[Source]:
        """The source of each split, and the fields in the order asked for."""
        texts = [ask.field for ask in wanted if ask.kind == "text"]
        self._learn(parts, texts)
        members: list[dict[str, Source]] = [{} for _ in parts]
        encoded: dict[str, list[Files]] = {}
        fields = {}
        for ask in wanted:
            columns = [part[ask.field] for part in parts.values()]
            if ask.kind == "image" and (files := _files(columns)):
                encoded[ask.field] = files
                continue
            fields[ask.field], sources = builders.optional(
                ask.field, columns, lambda present, ask=ask: self._one(ask, present), self.place
            )
            self._note_missing(ask.field, fields[ask.field])
            for member, source in zip(members, sources):
                member[ask.field] = source
        others = [Zip(member) if len(member) > 1 else next(iter(member.values()), None) for member in members]
        if encoded:
            views = {}
            for name, columns in encoded.items():
                views[name], shape = choose_view(self.data, columns, self.skipped, self.place)
                fields[name] = Image(*shape)
            others = [
                encode(self.data, {name: columns[n] for name, columns in encoded.items()}, views, self.skipped, rest)
                for n, rest in enumerate(others)
            ]
        self.fields = {ask.field: fields[ask.field] for ask in wanted}
        return others

    def _one(self, ask: Asked, columns: list[Column]) -> builders.Built:
        name, place = ask.field, self.place
        if ask.kind == "image" and columns[0].dtype == object:  # files that some examples lack
            files = [Files.of(column) for column in columns]
            view, shape = choose_view(self.data, files, self.skipped, place)
            return Image(*shape), [encode(self.data, {name: column}, {name: view}, self.skipped) for column in files]
        if ask.kind == "image":
            return builders.build_image(name, columns, self.data, place)
        if ask.kind == "label":
            built = builders.build_label(name, columns, self.names[name], place)
            if self.tokenizer is not None:  # texts are classified; pictures are made of classes that training has
                builders.require_trained(name, built, place)
            return built
        if ask.kind == "tokens":
            return builders.build_tokens(name, columns, place)
        if ask.kind == "mask":
            return builders.build_mask(name, columns, place)
        if ask.kind == "real":
            return builders.build_real(name, columns, place)
        field, sources, cut = builders.build_text(name, columns, self.tokenizer, self.data, place, self.notation)
        if cut:
            self.notes.append(f"{place}: cut {cut} text(s) of `{name}` to --data.context {self.data.context} tokens")
        return field, sources

    def _learn(self, parts: dict[str, Columns], texts: list[str]) -> None:
        if texts and self.tokenizer is None:
            learned = list(parts) if self.data.tokenizer == "char" else ["train"]
            read = (text for split in learned for name in texts for text in parts[split][name])
            self.tokenizer = make_tokenizer(self.data.tokenizer, read, end=True)
        self.tokenizer = self.tokenizer if texts else None

    def _note_missing(self, name: str, field: Field) -> None:
        if field.optional:
            self.notes.append(f"{self.place}: some examples have no `{name}`; {name}_present says which have")


def _files(columns: list[Column]) -> list[Files]:
    """The columns as files that every example has; [] where they are none."""
    if isinstance(columns[0], Files):
        return columns
    whole = columns[0].dtype == object and not any(missing(column).any() for column in columns)
    return [Files.of(column) for column in columns] if whole else []
