"""Blocks that know no system: `from genjax.nn import attention, noise, norm, ...`."""

import importlib
import pkgutil

__all__ = sorted(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'genjax.nn' has no attribute '{name}'")
    return importlib.import_module(f"genjax.nn.{name}")


def __dir__() -> list[str]:
    return __all__
