"""Values of a config.json from outside, checked as they are read."""

from collections.abc import Mapping
from typing import Any

from genjax.errors import UserError

__all__ = ["ACTIVATIONS", "activation", "activation_name", "fixed", "flag", "number", "whole"]

Config = Mapping[str, Any]

ACTIVATIONS = {  # transformers' names of ours; the first of several is written
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu": "gelu_exact",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
}


def whole(config: Config, name: str, default: int | None = None) -> int:
    """A positive whole number. Raises UserError for anything else, and where it is missing without a default."""
    value = config.get(name, default)
    if type(value) is not int or not 0 < value < 2**31:
        raise UserError(f"its {name} is {str(value)[:40]}, and must be a positive whole number")
    return value


def number(config: Config, name: str, default: float | None = None) -> float:
    """A positive number. Raises UserError as `whole`."""
    value = config.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e30:
        raise UserError(f"its {name} is {str(value)[:40]}, and must be a positive number")
    return float(value)


def flag(config: Config, name: str, default: bool) -> bool:
    """True or false. Raises UserError as `whole`."""
    value = config.get(name, default)
    if type(value) is not bool:
        raise UserError(f"its {name} is {str(value)[:40]}, and must be true or false")
    return value


def fixed(config: Config, values: Config) -> None:
    """Raises UserError where the configuration has another value than these, which are all that ours knows."""
    for name, value in values.items():
        if (found := config.get(name, value)) != value:
            raise UserError(f"its {name} is {str(found)[:40]}, and genjax has only {value}")


def activation(config: Config, name: str, default: str, known: Mapping[str, str] = ACTIVATIONS) -> str:
    """Our name of an activation. Raises UserError for one that is not `known`."""
    value = config.get(name, default)
    if not isinstance(value, str) or value not in known:
        raise UserError(f"its {name} is {str(value)[:40]}, and genjax has {', '.join(known)}")
    return known[value]


def activation_name(ours: str) -> str:
    """Their name of ours. Raises UserError for one that they do not have."""
    names = {value: name for name, value in reversed(ACTIVATIONS.items())}
    if ours not in names:
        raise UserError(f"it has no activation {ours}")
    return names[ours]
