"""The contract: a generative model is a game played in turns, described by pure functions over pytrees.

A model is a frozen dataclass of hyper-parameters. `params` and `state` are dicts with one entry per network; an
entry, not a turn, owns an optimizer and an EMA copy. A batch is a dict of arrays with a leading batch dimension:

    index   (B,)          int32, the example's position in the global batch: all noise is drawn from it
    image   (B, H, W, C)  float32 in [-1, 1]
    latent  (B, h, w, 2 Z)  float32, mean and log variance of a first stage's latents (in the images' place)
    label   (B,)          int32
    tokens  (B, T + 1)    int32; tokens[:, :-1] are the inputs, tokens[:, 1:] the targets
    mask    (B, T)        bool, the targets that count (optional)
    bytes   (B, T)        int32, UTF-8 bytes each target stands for (validation of text only)
    valid   (B,)          bool, False for rows that only fill up the last validation batch (validation only)
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.spec import DataSpec

ROW = 8  # samples that may belong together, such as the steps of an interpolation: `draw` keeps whole rows in a call

Array = jax.Array
Tree = Any
Params = dict[str, Tree]
Batch = dict[str, Array]


class Turn(NamedTuple):
    """One player's move: the entries it trains, due at the steps where (step + 1) % every == 0."""

    name: str
    trains: tuple[str, ...]
    every: int = 1


class LossOutput(NamedTuple):
    """`loss` and each of `metrics` are float32 means over `weight` (examples, or unmasked tokens)."""

    loss: Array
    weight: Array
    metrics: dict[str, Array]
    state: Tree


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """What a user may choose when sampling; a model extends it. Hashable, static under `jit`."""


@dataclasses.dataclass(frozen=True)
class LabelOptions(SampleOptions):
    """Of a model that may be conditional on the label; `Model.check` refuses `label` where it is not."""

    label: tuple[int, ...] = ()  # classes, in turn; () = all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Base of every system. Fields left None are resolved once, from the data and the precision asked for."""

    dtype: str | None = None  # compute type; None = --train.precision. Parameters and losses stay float32

    Options: ClassVar[type[SampleOptions]] = SampleOptions  # what `sample` takes
    best: ClassVar[tuple[str, str]] = ("loss", "min")  # the validation metric that picks the best checkpoint
    set_metrics: ClassVar[tuple[str, ...]] = ()  # of genjax.metrics: computed over a set of samples
    measured: ClassVar[tuple[str, ...]] = ()  # fields that only evaluation reads: `genjax eval` may change them
    rules: ClassVar[tuple[tuple[str, tuple], ...]] = ()  # (regex on the parameter path, mesh axes per dimension)

    @property
    def turns(self) -> tuple[Turn, ...]:
        raise NotImplementedError

    @property
    def previews(self) -> dict[str, SampleOptions]:
        """The samples drawn during training: name -> options."""
        return {"sample": self.Options()}

    @property
    def stack(self) -> Any:
        """What holds the fields `layers`, `unroll` and `remat` of the scanned stack of blocks; None without one."""
        return None

    def with_stack(self, **fields) -> Self:
        """The model with these fields of its stack replaced: for plans, which compile other depths."""
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        """The Linen modules, by entry: what others may import and reuse."""
        raise NotImplementedError

    def resolve(self, spec: DataSpec) -> Self:
        """The model with every field that the data decides filled in. Raises UserError where they disagree."""
        return self

    def on(self, platform: str) -> Self:
        """The model as it should run on "cpu", "gpu" or "tpu": the same numbers, another implementation."""
        return self

    def init(self, key: Array, spec: DataSpec) -> tuple[Params, Tree]:
        raise NotImplementedError

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        raise NotImplementedError

    def project(self, turn: str, params: Params) -> Params:
        """Applied after a turn's update, to the entries it trained: a constraint set, such as WGAN's clipping."""
        return params

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, tuple[Array, Array]]:
        """Metric -> (sum, count) over the batch; rows where `valid` is False count nothing."""
        raise NotImplementedError

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """Adds what follows from the averages of `evaluate` (on the host), such as a perplexity."""
        return metrics

    def check(self, options: SampleOptions) -> SampleOptions:
        """The options with what they leave open filled in. Raises UsageError where they do not go with the model."""
        if getattr(options, "label", ()) and not getattr(self, "conditional", False):
            raise UsageError("--label: this model was trained without labels (--model.conditional)")
        return options

    def needs_data(self, options: SampleOptions) -> bool:
        """Whether `sample` takes images of the validation split as conditions."""
        return False

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        """Draws one sample for each row of `conditions`, which always holds `index` (N,).

        Returns {"image": (N, H, W, C)} in [-1, 1], perhaps with {"trajectory": (N, K, H, W, C)}, how each came to be;
        or {"tokens": (N, T), "length": (N,)}. `columns` (N,), all the same number, beside images that belong together
        in rows, says how many a row of the grid has.
        """
        raise NotImplementedError


def valid_rows(batch: Batch) -> Array:
    """(B,) float32: 1 for the rows that count, 0 for those that fill up the last validation batch."""
    valid = batch.get("valid")
    return jnp.ones(batch["index"].shape, jnp.float32) if valid is None else valid.astype(jnp.float32)


NEEDS = {
    "image_shape": "images",
    "latent_shape": "latents (made by `genjax encode`)",
    "classes": "labels",
    "vocabulary": "text",
    "context": "text",
}


def require(spec: DataSpec, field: str, system: str) -> Any:
    """The field of the spec, or a UserError that says what kind of data the system needs."""
    value = getattr(spec, field)
    if field == "image_shape" and spec.latent_shape is not None:
        value = None  # the shape of images that are not there
    if value is None:
        raise UserError(
            f"{system} needs data with {NEEDS[field]}; this data has none (see --data.source and --data.path)"
        )
    return value


def require_agreement(model: Model, **found) -> None:
    """Raises UserError where a field of the model was given, and is not what the data has. 0 says as little as None."""
    for name, value in found.items():
        if (given := getattr(model, name)) not in (None, 0, value):
            raise UserError(f"model.{name} is {given}, but the data has {value}: leave model.{name} out")
