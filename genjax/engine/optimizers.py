"""Optimizers from optax, one for each entry of the parameters, with the learning rate left to the step.

The learning rate is a function of the global step and is applied by `train_step`: an entry that is updated twice a
step (lazy regularization) or once in five (a critic ratio) follows the same schedule as all others.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from genjax.errors import UsageError
from genjax.experiment import EntryOptim, Optim
from genjax.models.base import Tree, Turn
from genjax.nn.matrices import matrix

__all__ = ["decay_mask", "lazily", "of_entry", "schedule", "transform"]


def of_entry(optim: Optim, entry: str) -> EntryOptim:
    """The settings of one entry: its own, or those of all."""
    return optim.entries.get(entry, optim)


def lazily(optim: EntryOptim, turns: Sequence[Turn], entry: str) -> tuple[EntryOptim, float]:
    """Adam as it should be where a lazy turn trains the entry as well, and the factor of its learning rate.

    Karras et al. 2020 (StyleGAN2, arXiv:1912.04958, appendix B): a penalty that is due every k steps adds an update to
    those k; with c = k / (k + 1) the rate times c, and beta1^c, beta2^c, k + 1 updates do what k did without it.
    """
    periods = sorted(turn.every for turn in turns if turn.gradient and entry in turn.trains)
    share = 1.0 / (1.0 + sum(periods[0] / every for every in periods if every > periods[0]))
    if share == 1.0 or optim.name not in ("adam", "adamw"):
        return optim, 1.0
    return dataclasses.replace(optim, b1=optim.b1**share, b2=optim.b2**share), share


def schedule(optim: EntryOptim, steps: int) -> optax.Schedule:
    """Step (from 0) -> learning rate: linear warm-up, then constant, linear, cosine or inverse_sqrt.

    Linear and cosine begin to fall after `hold_steps` and end at `schedule_steps` or else at `steps`; from there on the
    rate stays as it is. inverse_sqrt is peak * (warm-up / step)^0.5 (Vaswani et al. 2017, equation 3).
    """
    peak, final, warm = optim.learning_rate, optim.final_learning_rate, max(optim.warmup_steps, 1)
    hold = optim.hold_steps if optim.schedule in ("linear", "cosine") else 0
    decay_steps = max((optim.schedule_steps or steps) - optim.warmup_steps - hold, 1)
    after = {
        "constant": lambda: optax.constant_schedule(peak),
        "inverse_sqrt": lambda: lambda step: peak * (warm / (warm + jnp.maximum(step, 0))) ** 0.5,
        "linear": lambda: optax.linear_schedule(peak, final, decay_steps),
        "cosine": lambda: optax.cosine_decay_schedule(peak, decay_steps, alpha=final / peak if peak else 0.0),
    }[optim.schedule]()
    if hold:
        after = optax.join_schedules([optax.constant_schedule(peak), after], [hold])
    if not optim.warmup_steps:
        return after
    # The first step is step 0: it takes 1/warmup of the peak, not nothing.
    warmup = optax.linear_schedule(peak / optim.warmup_steps, peak, max(optim.warmup_steps - 1, 1))
    return optax.join_schedules([warmup, after], [optim.warmup_steps])


def transform(optim: EntryOptim) -> optax.GradientTransformation:
    """Gradient -> direction of descent, to be multiplied by -learning_rate.

    Raises UsageError for weight decay with another optimizer than AdamW and Muon.
    """
    if optim.weight_decay and optim.name not in ("adamw", "muon"):
        raise UsageError(
            f"weight_decay {optim.weight_decay} is AdamW's decoupled decay, not one of {optim.name}: set --optim.name "
            "adamw, or --optim.weight-decay 0"
        )
    direction = {
        "adam": lambda: optax.scale_by_adam(optim.b1, optim.b2, optim.eps),
        "adamw": lambda: optax.scale_by_adam(optim.b1, optim.b2, optim.eps),
        "muon": lambda: _muon(optim),
        "rmsprop": lambda: optax.scale_by_rms(optim.decay, optim.eps, eps_in_sqrt=False),
        "sgd": lambda: optax.trace(optim.momentum),
    }[optim.name]()
    clip = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
    decay = [optax.add_decayed_weights(optim.weight_decay, decay_mask)] if optim.weight_decay else []
    return optax.chain(*clip, direction, *decay)


def _muon(optim: EntryOptim) -> optax.GradientTransformation:
    """Muon (Jordan 2024) for matrices, with updates of Adam's size (Liu et al. 2025, equation 4); Adam for the rest.

    Embeddings, positions and heads are no matrices between features, and stay with Adam, as the author has it.
    """

    def each(change: Callable, updates: Tree) -> Tree:
        """What `change` makes of (its axes as a matrix, or None; array)."""

        def of(path, array):
            place = jax.tree_util.keystr(path, simple=True, separator="/")
            return change(None if "head/" in place else matrix(place, array.shape), array)

        return jax.tree_util.tree_map_with_path(of, updates)

    def axes(updates: Tree) -> Tree:
        return each(lambda found, x: optax.contrib.MuonDimensionNumbers(found.inputs, found.outputs), updates)

    def sized(updates: Tree, params: Tree) -> Tree:
        sizes = lambda found, x: (math.prod(x.shape[axis] for axis in part) for part in found[1:])  # noqa: E731
        return each(lambda found, x: 0.2 * max(sizes(found, x)) ** 0.5 * x, updates)

    orthogonal = optax.chain(optax.contrib.scale_by_muon(weight_dimension_numbers=axes), optax.stateless(sized))
    adam = optax.scale_by_adam(optim.b1, optim.b2, optim.eps)
    kinds = functools.partial(each, lambda found, x: "rest" if found is None else "matrix")
    return optax.partition({"matrix": orthogonal, "rest": adam}, kinds)


def decay_mask(params) -> dict:
    """True where weight decay applies: matrices and tables, but no biases, normalization scales and single numbers.

    Told by the name too, since the bias of attention's heads has several dimensions; the first dimension of the
    stacked layers, which stand under "blocks", does not count.
    """

    def decays(path, array) -> bool:
        names = [key.key for key in path]
        return not names[-1].endswith(("bias", "scale")) and array.ndim - ("blocks" in names) > 1

    return jax.tree_util.tree_map_with_path(decays, params)
