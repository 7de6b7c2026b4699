"""The contract: a generative model is a game played in turns, described by pure functions over pytrees.

A model is a frozen dataclass of hyper-parameters. `params` and `state` are dicts with one entry per network; an entry,
not a turn, owns an optimizer and an average. A batch is a dict of arrays with a leading batch dimension:

    index   (B,)  int32, the example's position in the global batch: all noise is drawn from it
    NAME    (B, ...)  each field of the data by its name, with NAME_length and NAME_present where its kind has them
    mask    (B, T)  bool, the targets of `tokens` that count (optional)
    bytes   (B, T)  int32, UTF-8 bytes that each target of `tokens` stands for (validation of text only)
    valid   (B,)  bool, False for rows that only fill up the last validation batch (validation only)
    row     (B,)  int32, the example's position in its split (validation only)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import flax.linen as nn
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.interop.family import Family
from genjax.models.options import Given, LabelOptions, Layout, SampleOptions
from genjax.models.resolved import once_resolved
from genjax.models.turns import Array, Batch, LossOutput, Params, Term, Tree, Turn
from genjax.spec import DataSpec, Field

__all__ = [
    "ROW",
    "Array",
    "Batch",
    "Given",
    "LabelOptions",
    "Layout",
    "LossOutput",
    "Model",
    "Params",
    "SampleOptions",
    "Term",
    "Tree",
    "Turn",
    "require_agreement",
    "require_turn",
    "valid_rows",
]

ROW = 8  # samples that may belong together, such as the steps of an interpolation: they are drawn in one call


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Base of every system. Fields left None are resolved once, from the data and the precision asked for."""

    dtype: Literal["float32", "bfloat16", "float16"] | None = None  # of compute; None = --train.precision

    Options: ClassVar[type[SampleOptions]] = SampleOptions  # what `sample` takes
    best: ClassVar[tuple[str, str]] = ("loss", "min")  # the validation metric that picks the best checkpoint
    metrics: ClassVar[tuple[str, ...]] = ()  # of genjax.metrics: measured on samples at every evaluation
    baseline: ClassVar[tuple[str, ...]] = ()  # fields (text, label): evaluation then also says what TF-IDF reaches
    scores: ClassVar[tuple[str, ...]] = ()  # fields whose fit `score` tells: samples of other models are ranked by it
    measured: ClassVar[tuple[str, ...]] = ()  # fields that only evaluation reads: `genjax eval` may change them
    rules: ClassVar[tuple[tuple[str, tuple], ...]] = ()  # (regex on the parameter path, mesh axes per dimension)
    families: ClassVar[tuple[Family, ...]] = ()  # of other libraries, whose folders it is read from and written to

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "init" in vars(cls):
            cls.init = once_resolved(cls.init)

    # What the model is.

    @property
    def turns(self) -> tuple[Turn, ...]:
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        """The Linen modules, by entry: what others may import and reuse."""
        raise NotImplementedError

    def expects(self) -> dict[str, Field]:
        """The fields of the data, as far as the model's own hyper-parameters tell: for plans without data."""
        return {}

    def resolve(self, spec: DataSpec) -> Self:
        """The model with every field that the data decides filled in. Raises UserError where they disagree."""
        return self

    def on(self, platform: str) -> Self:
        """The model as it should run on "cpu", "gpu" or "tpu": the same numbers, another implementation."""
        return self

    @property
    def couples_batch(self) -> bool:
        """Whether an example's loss depends on the others of its batch, as batch normalization makes it."""
        return False

    @property
    def stack(self) -> Any:
        """What holds the fields `layers`, `unroll` and `remat` of the scanned stack of blocks; None without one.

        A model that has these fields is its own; one whose network has them says so.
        """
        return self if {"layers", "unroll", "remat"} <= {field.name for field in dataclasses.fields(self)} else None

    def with_stack(self, **fields) -> Self:
        """The model with these fields of its stack replaced: for plans, which compile other depths."""
        return dataclasses.replace(self, **fields)

    def inside(self, name: str) -> "Model":
        """The model inside of this one whose entries carry the prefix `name`, as a first stage's do; else itself."""
        return self

    def merged(self, params: Params, state: Tree) -> tuple["Model", Params, Tree]:
        """The model and its weights without what wraps it: what exports hold, and other models start from."""
        return self, params, state

    # How it learns.

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        """(params, state) before the first step, by entry; `batch_size` for state that belongs to rows."""
        raise NotImplementedError

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """What the turn minimizes, over the batch or a part of it."""
        raise NotImplementedError

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """Runs once a turn, after the optimizer, on what `loss` left in `sums` and `rows` of the whole batch.

        Codebooks by moving averages, replay pools, constraint sets such as WGAN's clipping, and EM live here. Only the
        entries that the turn trains may change in `params`.
        """
        return params, state

    # How good it is.

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Metrics over a validation batch; rows where `valid` is False count nothing.

        A total may be an array, such as a histogram, if `finalize` makes numbers of it.
        """
        raise NotImplementedError

    def follow(self, params: Params, state: Tree, batch: Batch, key: Array) -> tuple[dict[str, Term], Tree]:
        """`evaluate`, and those entries of the state that are others for the batch after this one: what rows carry."""
        return self.evaluate(params, state, batch, key), {}

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """Adds what follows from the averages of `evaluate` (on the host), such as a perplexity.

        `count` says over how many examples or tokens the first of them is.
        """
        return metrics

    def score(self, params: Params, state: Tree, batch: Batch) -> Array:
        """(B,) how well the fields `scores` of an example fit one another; higher is better."""
        raise NotImplementedError

    # What it makes; a model that makes nothing, such as a classifier, leaves `sample` out.

    @property
    def samples(self) -> bool:
        """Whether there is a `sample`."""
        return type(self).sample is not Model.sample

    @property
    def previews(self) -> dict[str, SampleOptions]:
        """The samples drawn during training: name -> options."""
        return {"sample": self.Options()} if self.samples else {}

    def check(self, options: SampleOptions) -> SampleOptions:
        """The options with what they leave open filled in. Raises UsageError where they do not go with the model."""
        if getattr(options, "label", ()) and not getattr(self, "conditional", False):
            raise UsageError("--label: this model was trained without labels (--model.conditional)")
        return options

    def needs(self, options: SampleOptions) -> tuple[str, ...]:
        """The fields of validation examples that `sample` takes as conditions."""
        return ()

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        """The fields of what `sample` returns: how they are shown and measured."""
        return {}

    def layout(self, options: SampleOptions) -> Layout:
        return Layout()

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        """Draws one sample for each row of `conditions`, which always holds `index` (N,).

        Returns the arrays of `outputs`, as a batch would hold them; perhaps with `trajectory` (N, K, H, W, C), how each
        image came to be, and with arrays that only `layout` names.
        """
        raise NotImplementedError

    # A first stage, whose codes other models learn.

    @property
    def code(self) -> Field | None:
        """The kind of its codes, of a resolved model: continuous (Latent) or ids (Codes); None: no first stage."""
        return None

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        """The batch's codes, as the field `code` holds them: of a Latent mean and log variance."""
        raise NotImplementedError

    def decode(self, params: Params, state: Tree, code: Array, batch: Batch) -> Array:
        """The images (B, H, W, C) in [-1, 1] of codes: of a Latent those of one latent (B, h, w, Z) each, of Codes ids.

        `batch` holds what the codes are conditioned on, such as `label`.
        """
        raise NotImplementedError


def valid_rows(batch: Mapping[str, Array]) -> Array:
    """(B,) float32: 1 for the rows that count, 0 for those that fill up the last validation batch."""
    valid = batch.get("valid")
    return jnp.ones(batch["index"].shape, jnp.float32) if valid is None else valid.astype(jnp.float32)


def require_agreement(model: Model, **found) -> None:
    """Raises UserError where a field of the model was given, and is not what the data has. 0 says as little as None."""
    for name, value in found.items():
        if (given := getattr(model, name)) not in (None, 0, value):
            raise UserError(f"model.{name} is {given}, but the data has {value}: leave model.{name} out")


def require_turn(model: Model, turn: str) -> Turn:
    """The model's turn of this name. Raises UserError where there is none."""
    turns = {known.name: known for known in model.turns}
    if turn not in turns:
        raise UserError(f"{type(model).__name__} has no turn '{turn}': its turns are {', '.join(turns)}")
    return turns[turn]
