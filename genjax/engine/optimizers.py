"""Optimizers from optax, one for each entry of the parameters, with the learning rate left to the step.

The learning rate is a function of the global step and is applied by `train_step`: an entry that is updated twice a
step (lazy regularization) or once in five (a critic ratio) follows the same schedule as all others.
"""

import jax
import optax

from genjax.errors import UsageError
from genjax.experiment import EntryOptim, Optim


def of_entry(optim: Optim, entry: str) -> EntryOptim:
    """The settings of one entry: its own, or those of all."""
    return optim.entries.get(entry, optim)


def schedule(optim: EntryOptim, steps: int) -> optax.Schedule:
    """Step (from 0) -> learning rate: linear warm-up, then constant, linear or cosine until `steps`."""
    peak, final = optim.learning_rate, optim.final_learning_rate
    decay_steps = max(steps - optim.warmup_steps, 1)
    after = {
        "constant": lambda: optax.constant_schedule(peak),
        "linear": lambda: optax.linear_schedule(peak, final, decay_steps),
        "cosine": lambda: optax.cosine_decay_schedule(peak, decay_steps, alpha=final / peak if peak else 0.0),
    }[optim.schedule]()
    if not optim.warmup_steps:
        return after
    # The first step is step 0: it takes 1/warmup of the peak, not nothing.
    warmup = optax.linear_schedule(peak / optim.warmup_steps, peak, max(optim.warmup_steps - 1, 1))
    return optax.join_schedules([warmup, after], [optim.warmup_steps])


def transform(optim: EntryOptim) -> optax.GradientTransformation:
    """Gradient -> direction of descent, to be multiplied by -learning_rate.

    Raises UsageError for weight decay with another optimizer than AdamW.
    """
    if optim.weight_decay and optim.name != "adamw":
        raise UsageError(
            f"weight_decay {optim.weight_decay} is AdamW's decoupled decay, not one of {optim.name}: set --optim.name "
            "adamw, or --optim.weight-decay 0"
        )
    direction = {
        "adam": lambda: optax.scale_by_adam(optim.b1, optim.b2, optim.eps),
        "adamw": lambda: optax.scale_by_adam(optim.b1, optim.b2, optim.eps),
        "rmsprop": lambda: optax.scale_by_rms(optim.b2, optim.eps),
        "sgd": lambda: optax.trace(optim.b1),
    }[optim.name]()
    clip = [optax.clip_by_global_norm(optim.clip_norm)] if optim.clip_norm else []
    decay = [optax.add_decayed_weights(optim.weight_decay, decay_mask)] if optim.weight_decay else []
    return optax.chain(*clip, direction, *decay)


def decay_mask(params) -> dict:
    """True where weight decay applies: matrices and tables, but no biases, normalization scales and single numbers.

    Told by the name too, since the bias of attention's heads has several dimensions; the first dimension of the
    stacked layers, which stand under "blocks", does not count.
    """

    def decays(path, array) -> bool:
        names = [key.key for key in path]
        return names[-1] not in ("bias", "scale") and array.ndim - ("blocks" in names) > 1

    return jax.tree_util.tree_map_with_path(decays, params)
