"""Several networks at once: their parameters and their state, by entry."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

__all__ = ["apply", "init_networks"]

Array = jax.Array
Tree = Any
STATISTICS = "batch_stats"  # the running averages of batch normalization


def init_networks(
    networks: Mapping[str, nn.Module], inputs: Mapping[str, Sequence], key: Array, **options
) -> tuple[dict[str, Tree], dict[str, Tree]]:
    """(params, state) by entry. A network without state has no entry in it.

    Args:
      inputs: the arguments of each network, by entry. Keys are split off in this order; a single network takes `key`.
      options: keywords of all calls, such as train=False.
    """
    keys = jax.random.split(key, len(inputs)) if len(inputs) > 1 else [key]
    params, state = {}, {}
    for (name, arguments), own_key in zip(inputs.items(), keys):
        variables = dict(networks[name].init(own_key, *arguments, **options))
        params[name] = variables.pop("params")
        if variables:
            state[name] = variables
    return params, state


def apply(
    networks: Mapping[str, nn.Module],
    name: str,
    params: Mapping[str, Tree],
    state: dict[str, Tree],
    *inputs,
    train: bool,
    **options,
) -> tuple[Any, dict[str, Tree]]:
    """The output of the network `name`, and the state of all networks.

    In training, batch normalization uses the batch's own statistics, and the new state has moved towards them.
    Otherwise it uses the state, which is returned as it is.

    Args:
      networks: modules whose call takes `train`.
      options: further keywords of the call, such as features=True, or `rngs`.
    """
    own = state.get(name, {})
    statistics = {STATISTICS: own[STATISTICS]} if STATISTICS in own else {}
    out, new = networks[name].apply(
        {"params": params[name], **statistics},
        *inputs,
        train=train,
        mutable=list(statistics) if train else [],
        **options,
    )
    return out, {**state, name: {**own, **new}} if new else state
