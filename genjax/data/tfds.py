"""Data sets prepared by TensorFlow Datasets, read as ArrayRecord files, without TensorFlow."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import readers, transforms
from genjax.data.columns import columns_dataset, objects
from genjax.data.compose import Zip
from genjax.data.dataset import Dataset, Source, hold_out
from genjax.data.images import EncodedImages
from genjax.data.kinds import Asked, asked
from genjax.data.text import closed, windows_dataset
from genjax.data.tokenizers import Tokenizer, make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import expanded, read_json
from genjax.spec import DataSpec, Image, Label

__all__ = ["tfds"]

SPLITS = ("train", "validation", "test")
DOMAINS = ("trainA", "trainB", "testA", "testB")  # of cycle_gan


@readers.register("tfds", prefix="tfds:")
def tfds(data: Data, name: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """`tfds:NAME`, or NAME/CONFIG: the first image feature, and the first class label if there is one.

    Without images it is the feature `text`, read into memory, each example closed by the tokenizer's end-of-text
    token, or a line break. --data.fields asks for other features, by name (source=en target=de): images, class labels,
    texts and numbers.

    --data.path is TFDS's data_dir; without it, that of TFDS (TFDS_DATA_DIR, ~/tensorflow_datasets). Training reads the
    split `train`; `validation`, `test` or else a share of `train` validates; trainA and trainB with testA and testB are
    two unpaired domains. Raises UserError where the data set is not
    prepared, or not in a format with random access, and where it has neither image nor text.
    """
    from tensorflow_datasets import features  # seconds to import

    builder, prepare = _builder(data, name)
    info, place = builder.info, f"tfds:{name}"
    image, label = _first(info.features, features.Image), _first(info.features, features.ClassLabel)
    if data.fields:
        wanted = asked(data.fields, sorted(info.features), place)
    elif image is not None:
        wanted = [Asked("image", image), *([] if label is None else [Asked("label", label)])]
    elif "text" in info.features and isinstance(info.features["text"], features.Text):
        wanted = [Asked("tokens", "text")]
    else:
        raise UserError(f"{place}: has no image and no `text`; its features are {', '.join(sorted(info.features))}")
    if set(DOMAINS) <= set(info.splits):
        return _domains(data, builder, image, prepare)
    if "train" not in info.splits:
        raise UserError(f"{place}: has no split named train, only {', '.join(info.splits)}")
    pictures = {a.field: a.column for a in wanted if isinstance(info.features[a.column], features.Image)}
    stores = _stores(builder, [split for split in SPLITS if split in info.splits], list(pictures.values()), prepare)
    parts = _parts(data, stores, place)
    unused = tuple(feature for feature in sorted(info.features) if feature not in {ask.column for ask in wanted})
    if not data.fields and image is None:
        texts = [[_text(store[i]["text"]) for i in ids] for _, store, ids in parts]
        return _windows(data, texts, place, tokenizer, unused)
    lazy = {ask.field: ask.column for ask in wanted if isinstance(info.features[ask.column], features.ClassLabel)}
    rest = [ask for ask in wanted if ask.field not in pictures and (not pictures or ask.field not in lazy)]
    classes = {ask.column: tuple(info.features[ask.column].names) for ask in wanted if ask.field in lazy}
    memory = _in_memory(data, place, parts, rest, classes, tokenizer) if rest else None
    if not pictures:
        return _with_unused(memory, unused)
    if memory is not None:  # records with an empty text are left out of it
        parts = [(split, store, ids[memory.rows[part]]) for part, (split, store, ids) in zip(SPLITS, parts)]
    return _images(data, place, parts, info.features, pictures, lazy, memory, unused)


def _builder(data: Data, name: str) -> tuple[Any, str]:
    """TFDS's builder of a prepared data set, and how to prepare it."""
    from tensorflow_datasets.core import constants, read_only_builder, registered

    folder = expanded(data.path) if data.path else None
    place = f" --data_dir={folder}" if folder else ""
    prepare = (
        f"prepare it once with: tfds build {name} --file_format=array_record{place} "
        '(needs TensorFlow: pip install "genjax-suite[prepare]")'
    )
    _require_known_features(folder or Path(constants.DATA_DIR), name)
    try:
        return read_only_builder.builder_from_files(name, data_dir=folder), prepare
    except registered.DatasetNotFoundError as error:
        raise UserError(f"tfds:{name}: not found{f' in {folder}' if folder else ''}; {prepare}") from error
    except Exception as error:
        raise UserError(f"tfds:{name}: its description cannot be read ({_line(error)}); {prepare}") from error


def _require_known_features(folder: Path, name: str) -> None:
    """Raises UserError where a description names a class that is not TFDS's own: TFDS would import its module."""
    place = expanded(folder) / name.partition("/")[0].partition(":")[0]
    for file in place.rglob("features.json"):
        for found in _classes(read_json(file)):
            if not str(found).startswith("tensorflow_datasets."):
                raise UserError(f"{file}: names the class {found!r}, which is not one of TFDS's features")


def _classes(value: Any) -> Iterator[Any]:
    """Every pythonClassName, and every type, in nested JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        legacy = key == "type" and isinstance(value, dict) and "content" in value
        if legacy or key in ("pythonClassName", "python_class_name"):
            yield part
        yield from _classes(part)


def _stores(builder: Any, splits: Sequence[str], images: Sequence[str], prepare: str) -> dict[str, Any]:
    """Random access to the records of each split, whose images stay encoded."""
    from tensorflow_datasets import decode

    place, skip = f"tfds:{builder.name}", {image: decode.SkipDecoding() for image in images}
    try:
        stores = {split: builder.as_data_source(split, decoders=skip or None) for split in splits}
    except NotImplementedError as error:
        form = builder.info.file_format.name
        raise UserError(f"{place}: its format {form} has no random access; {prepare}") from error
    except Exception as error:
        raise UserError(f"{place}: its files cannot be read ({_line(error)}); {prepare}") from error
    if not all(map(len, stores.values())):
        raise UserError(f"{place}: a split is empty; {prepare}")
    return stores


Part = tuple[str, Any, np.ndarray]  # the split on disk, its records, and those that belong to the part


def _parts(data: Data, stores: dict[str, Any], place: str) -> list[Part]:
    """What trains, what validates, and perhaps what tests."""
    parts = [(split, store, np.arange(len(store))) for split, store in stores.items()]
    if len(parts) > 1:
        return parts
    ((split, store, _),) = parts
    return [(split, store, ids) for ids in hold_out(len(store), data.validation, place)]


def _domains(data: Data, builder: Any, image: str | None, prepare: str) -> Dataset:
    """Two unpaired domains, `image_a` and `image_b`, in splits of their own, as `cycle_gan/horse2zebra` has them."""
    place, features = f"tfds:{builder.name}", builder.info.features
    if data.fields or image is None:
        raise UsageError(f"--data.fields: {place} has two domains of images, image_a and image_b, and no other fields")
    stores = _stores(builder, DOMAINS, [image], prepare)
    view, shape = _view(data, features[image].shape, place)
    skipped: dict[str, str] = {}

    def domain(split: str, field: str) -> Source:
        store = stores[split]
        read, views = _reader(store, np.arange(len(store)), {field: image}), {field: view}
        return EncodedImages(len(store), read, lambda i: f"{place} {split}[{i}]", views, data.strict, skipped)

    splits = [
        Zip({field: domain(f"{word}{field[-1].upper()}", field) for field in ("image_a", "image_b")}, "random")
        for word in ("train", "test")
    ]
    spec = DataSpec(dict.fromkeys(("image_a", "image_b"), Image(*shape)), *map(len, splits))
    return Dataset(spec, *splits, skipped=skipped)


def _windows(
    data: Data, texts: list[list[str]], place: str, tokenizer: Tokenizer | None, unused: tuple[str, ...]
) -> Dataset:
    """The examples of each split as one text; merges of byte pairs are learned from the training split."""
    if tokenizer is None:
        learned = [text for part in texts for text in part] + ["\n"] if data.tokenizer == "char" else texts[0]
        tokenizer = make_tokenizer(data.tokenizer, learned)
    train, validation, *test = (closed(part, tokenizer) for part in texts)
    test_N = test[0] if test else None
    dataset = windows_dataset(train, validation, data.context, tokenizer, place, test_N)
    return _with_unused(dataset, unused)


def _in_memory(
    data: Data,
    place: str,
    parts: list[Part],
    wanted: list[Asked],
    classes: dict[str, tuple[str, ...]],
    tokenizer: Tokenizer | None,
) -> Dataset:
    """The fields that are no images."""
    fields = tuple(f"{ask.field}={ask.column}" + (f":{ask.kind}" if ask.kind else "") for ask in wanted)
    data, splits = dataclasses.replace(data, fields=fields), {}
    for split, (_, store, ids) in zip(SPLITS, parts):
        records = [store[i] for i in ids]
        splits[split] = {ask.column: _column([record[ask.column] for record in records]) for ask in wanted}
    return columns_dataset(data, place, splits, tokenizer, kinds=dict.fromkeys(classes, "label"), names=classes)


def _images(
    data: Data,
    place: str,
    parts: list[Part],
    features: Any,
    pictures: dict[str, str],
    labels: dict[str, str],
    memory: Dataset | None,
    unused: tuple[str, ...],
) -> Dataset:
    """Records that are read when they are asked for: images, and the labels beside them."""
    views, fields = {}, {}
    for field, feature in pictures.items():
        views[field], shape = _view(data, features[feature].shape, place)
        fields[field] = Image(*shape)
    for field, feature in labels.items():
        fields[field] = Label(features[feature].num_classes, tuple(features[feature].names))
    skipped: dict[str, str] = {}
    sources: list[Source] = [
        EncodedImages(
            count=len(ids),
            read=_reader(store, ids, pictures | labels),
            name=lambda i, split=split, ids=ids: f"{place} {split}[{ids[i]}]",
            views=views,
            strict=data.strict,
            skipped=skipped,
            others=None if memory is None else memory.splits[part],
        )
        for part, (split, store, ids) in zip(SPLITS, parts)
    ]
    if memory is not None:
        fields |= memory.spec.fields
    return Dataset(
        DataSpec(fields, *map(len, sources)),
        *sources,
        tokenizer=memory and memory.tokenizer,
        skipped=skipped,
        unused=unused,
        notes=memory.notes if memory else (),
        texts=memory.texts if memory else {},
    )


def _reader(store: Any, ids: np.ndarray, features: dict[str, str]) -> Callable[[int], dict[str, Any]]:
    def read(i: int) -> dict[str, Any]:
        record = store[ids[i]]
        return {field: record[feature] for field, feature in features.items()}

    return read


def _column(values: list[Any]) -> np.ndarray:
    if isinstance(values[0], bytes | str):
        return objects([_text(value) for value in values])
    arrays = [np.asarray(value) for value in values]
    same = len({array.shape for array in arrays}) == 1
    return np.stack(arrays) if same else objects(arrays)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _with_unused(dataset: Dataset, unused: tuple[str, ...]) -> Dataset:
    return dataclasses.replace(dataset, unused=unused)


def _first(features: Any, kind: type) -> str | None:
    return next(
        (key for key in sorted(features) if isinstance(features[key], kind)), None
    )  # TFDS gives them in any order


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _view(data: Data, shape: tuple[int | None, ...], place: str) -> tuple[transforms.View, tuple[int, int, int]]:
    height, width, natural = shape
    if data.image_size is not None:
        height = width = data.image_size
    elif height is None or width is None:
        raise UserError(f"{place}: its images differ in size; choose one with --data.image-size")
    channels = data.channels or (1 if natural == 1 else 3)
    return transforms.View(data.image_size, channels, data.flip, data.random_crop), (height, width, channels)
