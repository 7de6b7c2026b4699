"""Data sets prepared by TensorFlow Datasets, read as ArrayRecord files, without TensorFlow."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import transforms
from genjax.data.dataset import Dataset, hold_out
from genjax.data.images import EncodedImages, images_dataset
from genjax.data.text import windows_dataset
from genjax.data.tokenizers import make_tokenizer
from genjax.errors import UserError
from genjax.experiment import Data

HELD_OUT = ("validation", "test")


def tfds(data: Data, name: str) -> Dataset:
    """`tfds:NAME`, or NAME/CONFIG: the first image feature, and the first class label if there is one.

    Without images it is the feature `text`, read into memory, each example closed by the tokenizer's end-of-text
    token, or a line break. --data.path is TFDS's data_dir; without it, that of TFDS (TFDS_DATA_DIR,
    ~/tensorflow_datasets). Training reads the split `train`; `validation`, `test` or else a share of `train`
    validates. Raises UserError where the data set is not prepared, or not in a format with random access, and where
    it has neither image nor text.
    """
    from tensorflow_datasets import decode, features  # seconds to import
    from tensorflow_datasets.core import read_only_builder, registered

    folder = Path(data.path).expanduser() if data.path else None
    place = f" --data_dir={folder}" if folder else ""
    prepare = (
        f"prepare it once with: tfds build {name} --file_format=array_record{place} "
        '(needs TensorFlow: pip install "genjax-suite[prepare]")'
    )
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=folder)
    except registered.DatasetNotFoundError as error:
        raise UserError(f"tfds:{name}: not found{f' in {folder}' if folder else ''}; {prepare}") from error
    except Exception as error:
        raise UserError(f"tfds:{name}: its description cannot be read ({_line(error)}); {prepare}") from error
    info = builder.info
    image = _first(info.features, features.Image)
    if image is None and not ("text" in info.features and isinstance(info.features["text"], features.Text)):
        raise UserError(f"tfds:{name}: has no image and no `text`; its features are {', '.join(info.features)}")
    if "train" not in info.splits:
        raise UserError(f"tfds:{name}: has no split named train, only {', '.join(info.splits)}")
    held = next((split for split in HELD_OUT if split in info.splits), None)
    try:
        stores = [
            builder.as_data_source(split, decoders={image or "text": decode.SkipDecoding()})
            for split in ("train", held)
            if split is not None
        ]
    except NotImplementedError as error:
        form = info.file_format.name
        raise UserError(f"tfds:{name}: its format {form} has no random access; {prepare}") from error
    except Exception as error:
        raise UserError(f"tfds:{name}: its files cannot be read ({_line(error)}); {prepare}") from error
    ids = [np.arange(len(store)) for store in stores]
    if not all(map(len, ids)):
        raise UserError(f"tfds:{name}: a split is empty; {prepare}")
    if held is None:
        stores, ids = stores * 2, hold_out(len(stores[0]), data.validation, f"tfds:{name}")
    if image is None:
        return _text(data, [[store[i]["text"] for i in part] for store, part in zip(stores, ids)], f"tfds:{name}")
    label = _first(info.features, features.ClassLabel)
    names = () if label is None else tuple(info.features[label].names)
    view, shape = _view(data, info.features[image].shape, name)
    skipped: dict[str, str] = {}
    sources = [
        EncodedImages(
            count=len(part),
            read=lambda i, store=store, part=part: _example(store[part[i]], image, label),
            name=lambda i, split=split, part=part: f"tfds:{name} {split}[{part[i]}]",
            view=view,
            strict=data.strict,
            skipped=skipped,
        )
        for split, store, part in zip(("train", held or "train"), stores, ids)
    ]
    return images_dataset(sources, shape, names, skipped)


def _example(record: dict[str, Any], image: str, label: str | None) -> tuple[io.BytesIO, int | None]:
    return io.BytesIO(record[image]), None if label is None else int(record[label])


def _text(data: Data, splits: list[list[bytes]], name: str) -> Dataset:
    """The examples of (training, validation) as text; merges of byte pairs are learned from the training split."""
    train, validation = ([text.decode("utf-8", errors="replace") for text in split] for split in splits)
    learned = train + validation + ["\n"] if data.tokenizer == "char" else train
    tokenizer = make_tokenizer(data.tokenizer, learned)
    end = tokenizer.encode("\n") if tokenizer.end_of_text is None else np.array([tokenizer.end_of_text], np.int32)
    tokens = [
        np.concatenate([part for text in texts for part in (tokenizer.encode(text), end)])
        for texts in (train, validation)
    ]
    return windows_dataset(*tokens, data.context, tokenizer, name)


def _first(features: Any, kind: type) -> str | None:
    return next((key for key, feature in features.items() if isinstance(feature, kind)), None)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _view(data: Data, shape: tuple[int | None, ...], name: str) -> tuple[transforms.View, tuple[int, int, int]]:
    height, width, natural = shape
    if data.image_size is not None:
        height = width = data.image_size
    elif height is None or width is None:
        raise UserError(f"tfds:{name}: its images differ in size; choose one with --data.image-size")
    channels = data.channels or (1 if natural == 1 else 3)
    return transforms.View(data.image_size, channels, data.flip, data.random_crop), (height, width, channels)
