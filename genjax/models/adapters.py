"""Adapters (Houlsby et al. 2019, arXiv:1902.00751): a trained transformer learns anew through small layers in it."""

import dataclasses
import re
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from genjax.errors import UsageError
from genjax.models.adapted import Adapted
from genjax.models.base import Array, Model, Params, Tree
from genjax.registry import register
from genjax.spec import DataSpec

__all__ = ["Adapters"]

NEW = re.compile(r"_adapter/")  # in the paths of what the base does not have
CHANGED = re.compile(r"(^|/)blocks/.*_norm/")  # of it learns too


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapters(Adapted):
    """The base with an adapter behind each part of each block, before the sum (section 2.1; `nn.feed`).

    "adapters.NAME" holds the adapters of NAME and the changes of its blocks' norms, which are learned as well and start
    at 0. Entries without blocks, such as the head of a classifier, are trained whole. What is exported is the base with
    --model.bottleneck set; no other library has it.
    """

    bottleneck: int = 16  # features within an adapter

    prefix: ClassVar = "adapters."

    def __post_init__(self):
        super().__post_init__()
        name = type(self.base).__name__
        if not hasattr(self.base.stack, "bottleneck"):
            raise UsageError(f"Adapters: {name} has no transformer of text that adapters could stand in")
        if self.base.stack.bottleneck:
            raise UsageError(f"Adapters: this {name} has adapters already: start from one without")
        if self.bottleneck < 1:
            raise UsageError(f"Adapters: bottleneck is {self.bottleneck}, must be positive")

    @property
    def inner(self) -> Model:
        return self.base.with_stack(bottleneck=self.bottleneck)

    @property
    def adapted(self) -> tuple[str, ...]:
        names = dict.fromkeys(entry for turn in self.base.turns for entry in turn.trains)
        networks = self.inner.networks()
        return tuple(name for name in names if getattr(getattr(networks[name], "config", None), "bottleneck", 0))

    def networks(self) -> dict[str, nn.Module]:
        networks = self.inner.networks()
        return {**self.base.networks(), **{self.prefix + entry: networks[entry] for entry in self.adapted}}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        params, state = self.inner.init(key, spec, batch_size)
        for name in self.adapted:
            whole = flatten_dict(params[name], sep="/")
            new = {path: x for path, x in whole.items() if NEW.search(path)}
            changes = {path: jnp.zeros_like(x) for path, x in whole.items() if path not in new and CHANGED.search(path)}
            params[name] = unflatten_dict({path: whole[path] for path in whole.keys() - new.keys()}, sep="/")
            params[self.prefix + name] = unflatten_dict(new | changes, sep="/")
        return params, state

    def weights(self, params: Params) -> Params:
        own = {name: value for name, value in params.items() if not name.startswith(self.prefix)}
        for name in self.adapted:
            whole = flatten_dict(own[name], sep="/")
            for path, x in flatten_dict(params[self.prefix + name], sep="/").items():
                whole[path] = whole[path] + x if path in whole else x
            own[name] = unflatten_dict(whole, sep="/")
        return own
