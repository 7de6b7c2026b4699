"""Damage: to bytes, and to values of JSON. Each is a function of a generator of random numbers."""

import json
import math
import random
from pathlib import Path
from typing import Any

__all__ = ["damage_bytes", "damage_json", "damage_value"]

NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, -(2**31), 2**63, 10**12, 10**20, 10**400, 0.5, -0.5, 1e-300, 1e308,
    -1e308,
    math.nan, math.inf, -math.inf, "", "x", "1", "nan", "\x1b[31mred\x07", "\udcff", "../../etc/passwd", "~nobody/x",
    "gs://bucket/x", "a\nb", "\0", "é" * 100, [], [0], [1, 2, 3], [[]], [None], ["x"], [1e308], {}, {"type": "VAE"},
    {"type": "os.system"}, {"type": 7}, {"a": 1}, {"": 0},
)  # fmt: skip


def damage_bytes(chance: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them flipped, lost, doubled, zeroed or replaced."""
    data = bytearray(data)
    at = chance.randrange(max(1, len(data)))
    if chance.random() < 0.3:  # among the first ones, where headers are
        at = min(at, chance.randrange(64))
    kind = chance.choice(["bit", "bit", "byte", "cut", "lose", "double", "zeros", "noise", "empty"])
    span = chance.choice([1, 4, 16, 256, 4096])
    if kind == "bit" and data:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == "byte" and data:
        data[at] = chance.randrange(256)
    elif kind == "cut":
        del data[at:]
    elif kind == "lose":
        del data[at : at + span]
    elif kind == "double":
        data[at:at] = data[at : at + span]
    elif kind == "zeros":
        data[at : at + span] = bytes(len(data[at : at + span]))
    elif kind == "noise":
        data[at : at + span] = chance.randbytes(len(data[at : at + span]))
    elif kind == "empty":
        data.clear()
    return bytes(data)


def damage_value(chance: random.Random, value: Any) -> Any:
    """A JSON value with one of its parts replaced, lost, added or nested."""
    holders = [found for found in _holders(value) if found]
    if not holders:
        return chance.choice(NASTY)
    holder = chance.choice(holders)
    key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    kind = chance.choice(["replace"] * 6 + ["lose", "add", "nest", "number", "number"])
    if kind == "lose":
        del holder[key]
    elif kind == "add" and isinstance(holder, dict):
        holder[chance.choice(["new", "type", "", "\x1b[2J", "__class__", "optional"])] = chance.choice(NASTY)
    elif kind == "nest":
        for _ in range(chance.choice([1, 3, 200])):
            holder[key] = chance.choice([[holder[key]], {"type": holder[key]}])
    elif kind == "number" and isinstance(holder[key], int | float):
        holder[key] = holder[key] * chance.choice([-1, 0, 2, 1000, 1e9, 0.5]) + chance.choice([0, 1, -1])
    else:
        holder[key] = chance.choice(NASTY)
    return value


def damage_json(chance: random.Random, file: Path) -> None:
    """A file of JSON: mostly its values, at times its bytes, or an object deeper than a parser recurses."""
    if chance.random() < 0.25:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    elif chance.random() < 0.05:
        file.write_text('{"a":' * 100_000)
    else:
        value = json.loads(file.read_bytes())
        for _ in range(chance.choice([1, 1, 1, 2, 5])):
            value = damage_value(chance, value)
        file.write_text(json.dumps(value), encoding="utf-8", errors="surrogateescape")


def _holders(value: Any) -> list[dict | list]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    own = [value] if isinstance(value, dict | list) else []
    return own + [holder for part in inner for holder in _holders(part)]
