"""Models that wrap a trained model, which stays as it is: a few numbers beside its own learn in its place."""

import dataclasses
from typing import Any, ClassVar, Self

from genjax.errors import UsageError
from genjax.models.base import Array, Batch, Layout, LossOutput, Model, Params, SampleOptions, Term, Tree, Turn
from genjax.spec import DataSpec, Field

__all__ = ["Adapted"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapted(Model):
    """The base's turns, losses and samples, with its weights as `weights` makes them of its own and what is learned.

    The base's own entries are frozen, and come from the run that --train.init-from names; `prefix` NAME is trained in
    place of an entry NAME that is adapted. A subclass defines `adapted`, `networks`, `init` and `weights`.
    """

    base: Model

    prefix: ClassVar[str]

    def __post_init__(self):
        name, base = type(self).__name__, type(self.base).__name__
        if still := [turn.name for turn in self.base.turns if not turn.gradient]:
            raise UsageError(f"{name}: turn {still[0]} of {base} has no gradient: nothing to adapt")
        for name in ("Options", "best", "metrics", "baseline", "scores", "measured", "rules"):
            object.__setattr__(self, name, getattr(self.base, name))

    def __getattr__(self, name: str) -> Any:
        """Options ask a model for its fields: those of the base."""
        if name == "base" or name.startswith("__"):  # a copy that is being made has no base yet
            raise AttributeError(name)
        return getattr(self.base, name)

    # What the model is.

    @property
    def inner(self) -> Model:
        """What computes with `weights`."""
        return self.base

    @property
    def adapted(self) -> tuple[str, ...]:
        """The entries of the base in whose place others are trained."""
        raise NotImplementedError

    def weights(self, params: Params) -> Params:
        """The parameters of `inner`."""
        raise NotImplementedError

    @property
    def turns(self) -> tuple[Turn, ...]:
        place = {entry: self.prefix + entry for entry in self.adapted}
        return tuple(
            turn._replace(trains=tuple(place.get(entry, entry) for entry in turn.trains)) for turn in self.base.turns
        )

    def expects(self) -> dict[str, Field]:
        return self.base.expects()

    def resolve(self, spec: DataSpec) -> Self:
        base = dataclasses.replace(self.base, dtype=self.base.dtype or self.dtype)
        return dataclasses.replace(self, base=base.resolve(spec))

    def on(self, platform: str) -> Self:
        return dataclasses.replace(self, base=self.base.on(platform))

    @property
    def couples_batch(self) -> bool:
        return self.inner.couples_batch

    @property
    def stack(self) -> Any:
        return self.inner.stack

    def with_stack(self, **fields) -> Self:
        return dataclasses.replace(self, base=self.base.with_stack(**fields))

    def inside(self, name: str) -> Model:
        return self.inner.inside(name)

    def merged(self, params: Params, state: Tree) -> tuple[Model, Params, Tree]:
        return self.inner.merged(self.weights(params), state)

    # How it learns.

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        return self.inner.loss(turn, self.weights(params), state, batch, key, step=step, train=train)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """The base's state; what it would do to its own weights, which are frozen, is left out."""
        return params, self.inner.update(turn, self.weights(params), state, sums, rows, step=step)[1]

    # How good it is, and what it makes.

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        return self.inner.evaluate(self.weights(params), state, batch, key)

    def score(self, params: Params, state: Tree, batch: Batch) -> Array:
        return self.inner.score(self.weights(params), state, batch)

    def follow(self, params: Params, state: Tree, batch: Batch, key: Array) -> tuple[dict[str, Term], Tree]:
        return self.inner.follow(self.weights(params), state, batch, key)

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return self.inner.finalize(metrics)

    @property
    def samples(self) -> bool:
        return self.inner.samples

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return self.inner.previews

    def check(self, options: SampleOptions) -> SampleOptions:
        return self.inner.check(options)

    def needs(self, options: SampleOptions) -> tuple[str, ...]:
        return self.inner.needs(options)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return self.inner.outputs(spec)

    def layout(self, options: SampleOptions) -> Layout:
        return self.inner.layout(options)

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        return self.inner.sample(self.weights(params), state, key, conditions, options)

    @property
    def code(self) -> Field | None:
        return self.inner.code

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        return self.inner.encode(self.weights(params), state, batch, key)

    def decode(self, params: Params, state: Tree, code: Array, batch: Batch) -> Array:
        return self.inner.decode(self.weights(params), state, code, batch)
