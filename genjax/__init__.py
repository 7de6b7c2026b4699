"""genjax: generative models in JAX, trained, measured and resumed by one step and one loop.

from genjax import models, nn                       the definitions: jax, flax, optax and numpy only
experiment = genjax.load_experiment("vae_digits")   a recipe, by name or path
genjax.train(experiment, "runs/mine")               as `genjax train` does
trained = genjax.restore("runs/mine")               model, params, state = trained; trained.sample(16)
"""

import importlib

from genjax.errors import UsageError, UserError

__version__ = "0.2.0"

# Loaded at first use: who imports the definitions does not load the trainer, data or checkpoint libraries.
_LAZY = {
    "Experiment": "genjax.experiment",
    "load_experiment": "genjax.recipes",
    "register": "genjax.registry",
    "restore": "genjax.evaluation.restored",
    "train": "genjax.training.loop",
}

_ROOMS = ("decoding", "diffusion", "metrics", "models", "networks", "nn", "spec")  # what others import

__all__ = ["Experiment", "UsageError", "UserError", "load_experiment", "register", "restore", "train"]


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"genjax.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'genjax' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS, "__version__"]
