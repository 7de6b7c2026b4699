"""LoRA (Hu et al. 2021, arXiv:2106.09685): a trained model learns anew through few numbers beside its own."""

import dataclasses
import re
from typing import ClassVar

import flax.linen as nn
import jax

from genjax.errors import UsageError
from genjax.models.adapted import Adapted
from genjax.models.base import Array, Params, Tree
from genjax.nn.low_rank import LowRank
from genjax.registry import register
from genjax.spec import DataSpec

__all__ = ["LoRA"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class LoRA(Adapted):
    """Every targeted matrix W of the base as W + alpha / rank A B (`nn.low_rank`); "lora.NAME" has A and B of NAME.

    The weights are added up at each step, so that any network can be adapted as it is; dropout on the path through A,
    which the paper's code has, is not there. Exports are of the base, its weights adapted.
    """

    rank: int = 8  # of the update that each matrix learns
    alpha: float = 16.0  # the change is alpha / rank A B
    targets: str = r"kernel$"  # regular expression on paths such as blocks/attention/qkv/kernel

    prefix: ClassVar = "lora."

    def __post_init__(self):
        super().__post_init__()
        if self.rank < 1 or self.alpha <= 0:
            raise UsageError(f"LoRA: rank {self.rank} and alpha {self.alpha} must be positive")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise UsageError(f"LoRA: targets {self.targets!r} is no regular expression ({error})") from None

    @property
    def adapted(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry for turn in self.base.turns for entry in turn.trains))

    def networks(self) -> dict[str, nn.Module]:
        adapter = LowRank(self.rank, self.alpha, self.targets)
        return {**self.base.networks(), **{self.prefix + entry: adapter for entry in self.adapted}}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        params, state = self.base.init(key, spec, batch_size)
        networks, adapters = self.networks(), {}
        for number, name in enumerate(self.adapted):
            variables = networks[self.prefix + name].init(jax.random.fold_in(key, number), params[name])
            if "params" not in variables:
                raise UsageError(f"LoRA: no matrix of {name} has a name that --model.targets {self.targets!r} finds")
            adapters[self.prefix + name] = variables["params"]
        return params | adapters, state

    def weights(self, params: Params) -> Params:
        networks = self.networks()
        own = {name: value for name, value in params.items() if not name.startswith(self.prefix)}
        for name in self.adapted:
            own[name] = networks[self.prefix + name].apply({"params": params[self.prefix + name]}, own[name])
        return own
