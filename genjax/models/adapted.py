"""LoRA (Hu et al. 2021, arXiv:2106.09685): a trained model learns anew through few numbers beside its own."""

import dataclasses
import re
from typing import Any, Self

import flax.linen as nn
import jax

from genjax.errors import UsageError
from genjax.models.base import Array, Batch, Layout, LossOutput, Model, Params, SampleOptions, Term, Tree, Turn
from genjax.nn.low_rank import LowRank
from genjax.registry import register
from genjax.spec import DataSpec, Field

__all__ = ["LoRA"]

PREFIX = "lora."  # of the entries that are trained, one for each entry of the base that a turn of it trains


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRA(Model):
    """The base's turns, losses and samples, with every targeted matrix W as W + alpha / rank A B (`nn.low_rank`).

    The base's own entries are frozen, and come from the run that --train.init-from names; "lora.NAME" is trained in
    place of the entry NAME. The weights are added up at each step, so that any network can be adapted as it is; dropout
    on the path through A, which the paper's code has, is not there. Exports are of the base, its weights adapted.
    """

    base: Model
    rank: int = 8
    alpha: float = 16.0  # the change is alpha / rank A B
    targets: str = r"kernel$"  # regular expression on paths such as blocks/attention/qkv/kernel

    def __post_init__(self):
        if self.rank < 1 or self.alpha <= 0:
            raise UsageError(f"LoRA: rank {self.rank} and alpha {self.alpha} must be positive")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise UsageError(f"LoRA: targets {self.targets!r} is no regular expression ({error})") from None
        if still := [turn.name for turn in self.base.turns if not turn.gradient]:
            raise UsageError(f"LoRA: turn {still[0]} of {type(self.base).__name__} has no gradient: nothing to adapt")
        for name in ("Options", "best", "metrics", "baseline", "rules"):
            object.__setattr__(self, name, getattr(self.base, name))

    def __getattr__(self, name: str) -> Any:
        """Options ask a model for its fields: those of the base."""
        if name == "base" or name.startswith("__"):  # a copy that is being made has no base yet
            raise AttributeError(name)
        return getattr(self.base, name)

    # What the model is.

    @property
    def adapted(self) -> tuple[str, ...]:
        """The entries of the base that have an adapter."""
        return tuple(dict.fromkeys(entry for turn in self.base.turns for entry in turn.trains))

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(turn._replace(trains=tuple(PREFIX + entry for entry in turn.trains)) for turn in self.base.turns)

    def networks(self) -> dict[str, nn.Module]:
        adapter = LowRank(self.rank, self.alpha, self.targets)
        return {**self.base.networks(), **{PREFIX + entry: adapter for entry in self.adapted}}

    def expects(self) -> dict[str, Field]:
        return self.base.expects()

    def resolve(self, spec: DataSpec) -> Self:
        base = dataclasses.replace(self.base, dtype=self.base.dtype or self.dtype)
        return dataclasses.replace(self, base=base.resolve(spec))

    def on(self, platform: str) -> Self:
        return dataclasses.replace(self, base=self.base.on(platform))

    @property
    def couples_batch(self) -> bool:
        return self.base.couples_batch

    @property
    def stack(self) -> Any:
        return self.base.stack

    def with_stack(self, **fields) -> Self:
        return dataclasses.replace(self, base=self.base.with_stack(**fields))

    def part(self, name: str) -> Model:
        return self.base.part(name)

    def merged(self, params: Params, state: Tree) -> tuple[Model, Params, Tree]:
        return self.base.merged(self.weights(params), state)

    def weights(self, params: Params) -> Params:
        """The base's parameters, adapted."""
        networks = self.networks()
        own = {name: value for name, value in params.items() if not name.startswith(PREFIX)}
        for name in self.adapted:
            own[name] = networks[PREFIX + name].apply({"params": params[PREFIX + name]}, own[name])
        return own

    # How it learns.

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        params, state = self.base.init(key, spec, batch_size)
        networks, adapters = self.networks(), {}
        for number, name in enumerate(self.adapted):
            variables = networks[PREFIX + name].init(jax.random.fold_in(key, number), params[name])
            if "params" not in variables:
                raise UsageError(f"LoRA: no matrix of {name} has a name that --model.targets {self.targets!r} finds")
            adapters[PREFIX + name] = variables["params"]
        return params | adapters, state

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        return self.base.loss(turn, self.weights(params), state, batch, key, step=step, train=train)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        """The base's state; what it would do to its own weights, which are frozen, is left out."""
        return params, self.base.update(turn, self.weights(params), state, sums, rows, step=step)[1]

    # How good it is, and what it makes.

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        return self.base.evaluate(self.weights(params), state, batch, key)

    def follow(self, params: Params, state: Tree, batch: Batch, key: Array) -> tuple[dict[str, Term], Tree]:
        return self.base.follow(self.weights(params), state, batch, key)

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        return self.base.finalize(metrics)

    @property
    def samples(self) -> bool:
        return self.base.samples

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return self.base.previews

    def check(self, options: SampleOptions) -> SampleOptions:
        return self.base.check(options)

    def needs(self, options: SampleOptions) -> tuple[str, ...]:
        return self.base.needs(options)

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        return self.base.outputs(spec)

    def layout(self, options: SampleOptions) -> Layout:
        return self.base.layout(options)

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: SampleOptions
    ) -> dict[str, Array]:
        return self.base.sample(self.weights(params), state, key, conditions, options)

    @property
    def code(self) -> Field | None:
        return self.base.code

    def encode(self, params: Params, state: Tree, batch: Batch, key: Array) -> Array:
        return self.base.encode(self.weights(params), state, batch, key)

    def decode(self, params: Params, state: Tree, code: Array, batch: Batch) -> Array:
        return self.base.decode(self.weights(params), state, code, batch)
