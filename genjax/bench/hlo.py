"""What a compiled program sends over the interconnect, read from its HLO text."""

import math
import re

__all__ = ["collective_bytes"]

BITS = {"pred": 8, "s4": 4, "u4": 4, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128}

_COLLECTIVE = re.compile(
    r"= (?P<type>.*?) (?P<kind>all-gather|all-reduce|reduce-scatter|all-to-all|ragged-all-to-all|"
    r"collective-broadcast|collective-permute)(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_IOTA = re.compile(r"replica_groups=\[\d+,(\d+)\]<=")
_MESH = re.compile(r"replica_groups=mesh\[(?P<sizes>[^\]]*)\] \{(?P<axes>[^}]*)\}")


def collective_bytes(text: str, devices: int) -> float:
    """Bytes a device sends in all collectives of an HLO module, each instruction counted once.

    By the ring algorithms over a group of n devices, of an array of S bytes a device before or after: all-reduce
    2 (n-1)/n S, all-gather and all-to-all (n-1)/n of the result, reduce-scatter n-1 times the result, and what is
    permuted or broadcast whole.

    Args:
      text: of the optimized module of one device (`compiled.as_text()`).
      devices: the size of a group that lists none: all of them.
    """
    return sum(_sent(line, match, devices) for line in text.splitlines() if (match := _COLLECTIVE.search(line)))


def _sent(line: str, match: re.Match, devices: int) -> float:
    arrays = [_bytes(*array) for array in _ARRAY.findall(match["type"])]
    if match["start"] and match["kind"] != "all-reduce":
        # An asynchronous start returns (operands, results, scalars for its own use).
        arrays = [size for size in arrays if size > 4] or arrays
        arrays = arrays[len(arrays) // 2 :]
    size, n = sum(arrays), _group_size(line, devices)
    if match["kind"] in ("collective-permute", "collective-broadcast"):
        return size
    if n == 1:
        return 0.0
    if match["kind"] == "all-reduce":
        return 2 * size * (n - 1) / n
    return size * (n - 1) if match["kind"] == "reduce-scatter" else size * (n - 1) / n


def _group_size(line: str, devices: int) -> int:
    if match := _IOTA.search(line):
        return int(match[1])
    if match := _MESH.search(line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", match["sizes"]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", match["axes"]))
    match = _LISTED.search(line)
    return len(match[1].split(",")) if match and match[1] else devices


def _bytes(kind: str, dims: str) -> float:
    bits = BITS.get(kind) or int((re.search(r"\d+", kind) or ["0"])[0])
    return bits / 8 * math.prod(int(d) for d in dims.split(",") if d)
