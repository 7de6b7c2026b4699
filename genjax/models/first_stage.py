"""A first stage inside another model: its entries stand among the model's own under a prefix, and stay as they are."""

from typing import Any

__all__ = ["PREFIX", "own", "prefixed"]

PREFIX = "first_stage."


def prefixed(entries: dict[str, Any]) -> dict[str, Any]:
    """The first stage's entries, by the names they have in the model."""
    return {PREFIX + name: entry for name, entry in entries.items()}


def own(entries: dict[str, Any]) -> dict[str, Any]:
    """The first stage's entries, by the names it gave them."""
    return {name.removeprefix(PREFIX): entry for name, entry in entries.items() if name.startswith(PREFIX)}
