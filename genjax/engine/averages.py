"""Moving averages of what is trained: the plain exponential one, and EDM2's with a power-function profile.

Plain: average <- d average + (1 - d) value, where d = min(ema_decay, ramp(step)): a ramp lets early averages forget the
initialization. An entry is averaged in the steps that train it.

Power (Karras et al. 2023, arXiv:2312.02696, section 3.1): after step t the values of steps 1 ... t have weights in
proportion to a power of their step, whatever the length of the run. `sigma_rel` is the profile's standard deviation
as a share of the run; posthoc_ema.py makes other profiles out of stored ones.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError
from genjax.models.base import Params

__all__ = ["EMA", "RAMPS", "Average", "create", "power_name", "sharpness", "update", "update_power"]

Tree = Any
RAMPS: dict[str, Callable[[jax.Array], Any]] = {  # step (from 0) -> the largest decay
    "tensorflow": lambda step: (1.0 + step) / (10.0 + step),  # its ExponentialMovingAverage with `num_updates`
    "edm": lambda step: 0.5 ** (20.0 / step),  # a half-life of a twentieth of the steps so far (Karras et al. 2022)
    "none": lambda step: 1.0,
}
WIDEST = 12**-0.5  # the sigma_rel of equal weights, gamma = 0; above it the latest steps would count least


class Average(NamedTuple):
    """By entry: averages of parameters, and of the float parts of state (integers are the latest)."""

    params: Params
    state: Tree


class EMA(NamedTuple):
    """The plain average, without entries where there is none, and the power averages by `power_name`."""

    params: Params
    state: Tree
    power: dict[str, Average]


def power_name(sigma_rel: float) -> str:
    """The key of a power average; `float` is its inverse."""
    return str(float(sigma_rel))


def sharpness(sigma_rel: float) -> float:
    """gamma of the profile t^gamma of a relative standard deviation: the largest root of a cubic (appendix C.1).

    sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), the variance of a Beta(gamma + 1, 1) distribution.

    Raises:
      UsageError: sigma_rel is not in (0, 0.2886].
    """
    if not 0.0 < sigma_rel <= WIDEST:
        raise UsageError(f"EMA of sigma_rel {sigma_rel}: must be above 0 and at most {np.floor(WIDEST * 1e4) / 1e4}")
    inverse = sigma_rel**-2
    return max(0.0, float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max()))


def create(params: Params, model_state: Tree, entries: tuple[str, ...], decay: float, powers: tuple[float, ...]) -> EMA:
    """The averages before the first step: copies of what they average."""
    plain = entries if decay else ()
    return EMA(
        _copy(params, plain),
        _copy(model_state, plain),
        {power_name(sigma): Average(_copy(params, entries), _copy(model_state, entries)) for sigma in powers},
    )


def update(
    ema: EMA,
    params: Params,
    model_state: Tree,
    entries: set[str],
    decay: float,
    step: jax.Array,
    ramp: str = "tensorflow",
) -> EMA:
    """The averages after `step` (from 0), which has trained `entries` and left `params` and `model_state`."""
    decay = jnp.minimum(decay, RAMPS[ramp](step))

    def plain(old, new):
        return decay * old + (1 - decay) * new

    return EMA(
        _update(plain, ema.params, params, entries),
        _update(plain, ema.state, model_state, entries),
        {name: update_power(average, params, model_state, float(name), step) for name, average in ema.power.items()},
    )


def update_power(average: Average, params: Params, model_state: Tree, sigma_rel: float, step: jax.Array) -> Average:
    """average <- beta average + (1 - beta) value with beta(t) = (1 - 1/t)^(gamma + 1), t = step + 1 (section 3.1).

    The first step's average is its value. Every step counts, those too that left an entry as it was.
    """
    # 1 - beta, of order 1/t, written so that it keeps its digits in float32 after millions of steps
    rate = -jnp.expm1((sharpness(sigma_rel) + 1) * jnp.log1p(-1.0 / (step + 1.0)))

    def power(old, new):
        return old + rate * (new - old)

    return Average(
        _update(power, average.params, params, average.params.keys()),
        _update(power, average.state, model_state, average.state.keys()),
    )


def _update(average: Callable, old: dict, new: dict, entries: Collection[str]) -> dict:
    """`average(old, new)` of the float leaves of `entries`; their integers are copied, other entries stay."""

    def update(a, x):
        return average(a, x) if jnp.issubdtype(a.dtype, jnp.floating) else x

    return {entry: jax.tree.map(update, old[entry], new[entry]) if entry in entries else old[entry] for entry in old}


def _copy(tree: dict, entries: tuple[str, ...]) -> dict:
    # a copy: donated buffers must not appear twice in the state
    return {entry: jax.tree.map(jnp.copy, tree[entry]) for entry in entries if entry in tree}
