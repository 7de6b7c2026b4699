"""What a run starts from: weights, model state and tokenizer of other runs."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from genjax.data import Tokenizer, find_tokenizer
from genjax.engine.averages import EMA
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState, averaged
from genjax.errors import UsageError, UserError, visible
from genjax.metrics.features import extractor_weights
from genjax.models.base import Model, Params, Tree
from genjax.runs import checkpoint
from genjax.runs.foreign import read_folder
from genjax.runs.restore import open_run
from genjax.runs.sources import NOWHERE, Source, match, parse
from genjax.runs.weights import STATE, WEIGHTS, load_safetensors, metadata
from genjax.spec import Codes, Field

__all__ = ["initialize_from", "load_weights", "tokenizer_for"]

SENTENCE_PIECE = ("spiece.model", "source.spm", "sentencepiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def initialize_from(
    state: TrainState, sources: tuple[str, ...], engine: Engine, tokenizer: Tokenizer | None = None
) -> TrainState:
    """The state with what `train.init_from` names loaded: parameters, model state, and the averages of both.

    Raises:
      UsageError: as `genjax.runs.sources.match`; weights that were learned with another than the data's `tokenizer`.
      UserError: a source that is missing, or whose arrays have other names or shapes.
    """
    params, model_state = dict(state.params), dict(state.model_state)
    ema = EMA(dict(state.ema.params), dict(state.ema.state), state.ema.power)
    for source in map(parse, sources):
        if source.features:
            loaded, loaded_state = _features(source, params), {}
        else:
            loaded, loaded_state = load_weights(source, engine.model)
        _require_tokenizer(source, tokenizer)
        names = match(source, params | model_state, loaded | loaded_state)
        if missing := [name for name in params if source.mine and source.covers(name) and name not in names]:
            raise UserError(f"--train.init-from {source}: it has nothing for {missing[0]}, only {', '.join(loaded)}")
        for name, theirs in names.items():
            if name in params:
                params[name] = _fit(loaded.get(theirs, {}), params[name], name, source.path)
            if theirs in loaded_state and name in model_state:
                model_state[name] = _fit(loaded_state[theirs], model_state[name], f"state {name}", source.path)
            elif jax.tree.leaves(model_state.get(name)):
                _say(f"'{source.path}' has no model state for {name}: its statistics stay as they start")
            for average, values in ((ema.params, params), (ema.state, model_state)):
                if name in average:
                    average[name] = jax.tree.map(jnp.copy, values[name])
    state = state.replace(params=params, model_state=model_state, ema=ema)
    return jax.tree.map(jax.device_put, state, engine.shardings)


def load_weights(source: Source, model: Model) -> tuple[Params, Tree]:
    """(params, model state) of a run directory (its averages, where it has them), or of a file or folder of weights.

    Raises:
      UserError: it is missing, cannot be read, or is another library's and not of `model`.
    """
    if source.foreign:
        inner = model.inside(source.mine)
        params = read_folder(source.path, inner, str(source), _flag(model, inner) or "--model")
        state = {name.removeprefix(STATE): params.pop(name) for name in list(params) if name.startswith(STATE)}
        return params, state
    if source.path.suffix == ".safetensors":
        return load_safetensors(source.path)
    opened = open_run(source.path)
    if source.mine and isinstance(mine := model.inside(source.mine).code, Codes):
        _require_codes(source, mine, opened.engine.model.inside(source.theirs).code)
    params, state = averaged(opened.state)
    if params.keys() <= model.networks().keys():
        return params, state
    return opened.engine.model.merged(params, state)[1:]


def _flag(model: Any, inner: Model, flag: str = "--model") -> str | None:
    """The flag of the field of `model` that holds `inner`."""
    if model is inner:
        return flag
    fields = dataclasses.fields(model) if dataclasses.is_dataclass(model) else ()
    found = (_flag(getattr(model, f.name), inner, f"{flag}.{f.name.replace('_', '-')}") for f in fields)
    return next(filter(None, found), None)


def _features(source: Source, params: Params) -> Params:
    """What the entry `source.mine` takes of an extractor's network, by the extractor's name."""
    if source.mine not in params:
        raise UsageError(f"--train.init-from {source}: say which entry it is for, such as perceptual={source}")
    try:
        file = None if source.path == NOWHERE else source.path
        return {source.theirs: extractor_weights(source.theirs, file, params[source.mine])}
    except UserError as error:
        raise type(error)(f"--train.init-from {source}: {error}") from None


def tokenizer_for(out: Path, init_from: tuple[str, ...]) -> Tokenizer | None:
    """The tokenizer that a run in `out` has to read its data with, so that ids mean what its weights have learned.

    A resumed run has its own; another one that of the runs it starts from. None: the data may make one.

    Raises:
      UsageError: the runs to start from have different ones. UserError: one that cannot be read.
    """
    if checkpoint.steps(out):
        runs = [out]
    else:
        paths = [source.path for source in map(parse, init_from) if not source.features]
        runs = [path.parent if path.name == WEIGHTS else path for path in paths]
    found = {run: tokenizer for run in runs if (tokenizer := find_tokenizer(run)) is not None}
    for run, tokenizer in found.items():
        first = next(iter(found))
        if list(tokenizer.pieces) != list(found[first].pieces):
            raise UsageError(f"--train.init-from: '{first}' and '{run}' have different tokenizers: take one of them")
    return next(iter(found.values()), None)


def _require_tokenizer(source: Source, tokenizer: Tokenizer | None) -> None:
    """A run directory has its tokenizer beside its weights, which `tokenizer_for` takes; a file says which it was.

    Raises UsageError for another one, and for pieces of SentencePiece, which only `tokens` of the data can be.
    """
    place = source.path
    unread = [name for name in SENTENCE_PIECE if source.foreign and (place / name).exists()]
    if unread and tokenizer is not None and find_tokenizer(place) is None:
        raise UsageError(
            f"--train.init-from {source}: genjax does not read its {unread[0]}, SentencePiece's, and the text here has "
            "other ids: write a tokenizer.json beside it (save_pretrained of transformers' AutoTokenizer), or cut your "
            "text up with it and give columns of lists of ids (--data.fields NAME=COLUMN:tokens)"
        )
    theirs = metadata(place).get("tokenizer") if place.suffix == ".safetensors" else None
    if tokenizer is not None and theirs not in (None, tokenizer.fingerprint):
        raise UsageError(
            f"--train.init-from: '{place}' was trained with another tokenizer than that of this data, whose ids mean "
            "other text: name the run directory itself, whose tokenizer is then taken"
        )


def _require_codes(source: Source, mine: Codes, theirs: Field | None) -> None:
    """A first stage of pictures of another size, or with other ids, may have weights of the same shapes."""
    if mine != theirs:
        makes = f"{theirs.describe()} of {theirs.image.describe()}" if isinstance(theirs, Codes) else "no ids"
        raise UserError(
            f"--train.init-from {source}: it makes {makes}, and {source.mine} here makes {mine.describe()} of "
            f"{mine.image.describe()}: take a run on this data, with the fields of --model.first-stage"
        )


def _fit(loaded: Tree, expected: Tree, name: str, place: Path) -> Tree:
    """`loaded` in the types of `expected`. Raises UserError that names the first array that does not fit."""
    got = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(loaded)}
    wanted = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(expected)}
    if extra := sorted(got.keys() - wanted.keys()):
        raise UserError(f"--train.init-from: '{place}' has {name}{extra[0]}, which this model has no place for")
    for key, want in wanted.items():
        if key not in got:
            raise UserError(f"--train.init-from: '{place}' has no {name}{key}")
        if got[key].shape != want.shape:
            raise UserError(
                f"--train.init-from: {name}{key} has shape {got[key].shape} in '{place}', {want.shape} here"
            )
    return jax.tree_util.tree_map_with_path(
        lambda path, want: jnp.asarray(got[jax.tree_util.keystr(path)], want.dtype), expected
    )


def _say(message: str) -> None:
    print(f"genjax: {visible(message)}", file=sys.stderr)
