"""Folders of other libraries: config.json, safetensors and tokenizer.json of transformers and diffusers."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import Tokenizer
from genjax.data.pieces import ABOUT
from genjax.data.portable import portable, special_tokens
from genjax.engine.state import TrainState, averaged
from genjax.errors import UserError
from genjax.files import read_json, require_file, write_atomic
from genjax.interop.family import Family, differing, to_ours, to_theirs
from genjax.models.base import Model, Params
from genjax.runs import checksums
from genjax.runs.weights import STATE, write_arrays

__all__ = ["export_folder", "read_folder"]

CONFIG, TOKENIZER = "config.json", "tokenizer.json"


def read_folder(folder: Path, model: Model, source: str = "", flag: str = "--model") -> Params:
    """The params of `model` that a folder holds, float32, and what it holds of the state, as "state:ENTRY".

    Every tensor of it has a place in them, or is refused. Messages name the `source` as the user wrote it, and the
    `flag` by which the fields of `model` are set.

    Raises:
      UserError: it is missing or damaged, of an architecture or with fields that the model does not have, lacks a
        tensor or has one too many; a tokenizer with more ids than its embedding has rows.
    """
    source = source or f"hf:{folder}"
    if not folder.is_dir():
        raise UserError(
            f"--train.init-from {source}: no such folder, and nothing is downloaded: put there what "
            "`save_pretrained` writes, or a model's files from huggingface.co"
        )
    config = read_json(folder / CONFIG)
    try:
        family = _family(config, model)
        wanted = dict(family.style) | family.fields(config)
        if wrong := differing(model, wanted):
            cure = " ".join(_flags(flag, wrong))
            raise UserError(f"it is another model than this {type(model).__name__}: take {cure}")
        _require_own_tokenizer(folder, wanted.get("vocabulary"))
        return to_ours(family, model, _tensors(folder, family.file), getattr(model, "layers", 0))
    except UserError as error:
        raise UserError(f"--train.init-from {source}: {error}") from None


def _flags(prefix: str, values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give fields these values; of a field with fields, those beside its defaults."""
    words = []
    for name, value in values.items():
        flag = f"{prefix}.{name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            fields = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
            beside = {name: own for name, (own, default) in fields.items() if own != default}
            words += [f"{flag} {type(value).__name__}", *_flags(flag, beside)]
        else:
            words.append(f"{flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}")
    return words


def export_folder(model: Model, state: TrainState, folder: Path, tokenizer: Tokenizer | None) -> list[Path]:
    """Writes what `averaged` gives as files that transformers, or diffusers, loads with `from_pretrained`.

    A tokenizer of characters has no equal there, and is left out.

    Raises:
      UserError: no family has such a model (the first field that differs is named for each); it cannot be written.
    """
    model, params, model_state = model.merged(*averaged(state))
    end = tokenizer.end_of_text if tokenizer else None
    family, config = _exported(model, end)
    arrays = {**params, **{STATE + entry: tree for entry, tree in model_state.items()}}
    tensors = to_theirs(family, model, arrays, getattr(model, "layers", 0))
    files = [
        write_atomic(folder / CONFIG, json.dumps(config, indent=2).encode()),
        write_arrays(tensors, folder / family.file, {"format": "pt"}),
    ]
    if "model_type" not in config:
        return files
    ids = {
        name: config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    }
    known = {name: value for name, value in ids.items() if value is not None}
    files.append(write_atomic(folder / "generation_config.json", json.dumps(known, indent=2).encode()))
    if tokenizer is None or (text := portable(tokenizer)) is None:
        return files
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.context}
    about |= special_tokens(tokenizer)
    files.append(write_atomic(folder / TOKENIZER, text.encode()))
    files.append(write_atomic(folder / ABOUT, json.dumps(about, indent=2).encode()))
    return files


def _family(config: dict[str, Any], model: Model) -> Family:
    name = config.get("model_type") or config.get("_class_name")
    families = {family.name: family for family in model.families}
    if not isinstance(name, str) or name not in families:
        known = f"is read from {', '.join(families)}" if families else "has no equal there"
        kind = type(model).__name__
        raise UserError(f"its config.json says {str(name)[:40]}, and a {kind} {known}")
    return families[name]


def _exported(model: Model, end: int | None) -> tuple[Family, dict[str, Any]]:
    """The family that has this model, and its config.json."""
    reasons = []
    for family in model.families:
        try:
            config = family.config(model, end)
            wrong = differing(model, dict(family.style) | family.fields(config))
        except UserError as error:
            reasons.append(f"{family.name}: {error}")
            continue
        if not wrong:
            return family, config
        name, value = next(iter(wrong.items()))
        reasons.append(f"{family.name}: it has {name} {value}, this model {getattr(model, name)}")
    kind = type(model).__name__
    raise UserError(f"--format hf: no equal of this {kind} there ({'; '.join(reasons) or 'no family has it'})")


def _require_own_tokenizer(folder: Path, vocabulary: int | None) -> None:
    """Raises UserError where ids of its tokenizer have no row in the embedding."""
    file = folder / TOKENIZER
    if vocabulary is None or not file.exists():
        return
    model = read_json(file).get("model")
    pieces = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(pieces, dict | list) and len(pieces) > vocabulary:
        raise UserError(
            f"its {TOKENIZER} has {len(pieces)} ids, its embedding {vocabulary} rows: they are of two models"
        )


def _tensors(folder: Path, name: str) -> dict[str, np.ndarray]:
    """All tensors, of one file or of the several that an index names."""
    index = folder / f"{name}.index.json"
    if (folder / name).exists() or not index.exists():
        return _read(folder / name)
    places = read_json(index).get("weight_map")
    parts = sorted(set(places.values()) if isinstance(places, dict) else [])
    if not parts or not all(isinstance(part, str) and Path(part).name == part for part in parts):
        raise UserError(f"{index.name} names no files of weights in this folder")
    return {name: x for part in parts for name, x in _read(folder / part).items()}


def _read(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    require_file(file)
    try:
        with safe_open(file, framework="numpy") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            checksums.require_unchanged(opened.metadata(), tensors, file)  # of files that genjax wrote
            return tensors
    except (OSError, SafetensorError, TypeError) as error:  # the latter: a type that numpy does not have
        raise UserError(f"{file.name} cannot be read ({error})") from error
