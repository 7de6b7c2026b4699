"""Blocks that know no system: `from genjax.nn import attention, noise, norm, ...`."""

__all__ = [
    "apply",
    "attend",
    "attention",
    "cache",
    "conv",
    "dense",
    "embedding",
    "feed",
    "noise",
    "norm",
    "positions",
    "sharding",
    "stack",
]
