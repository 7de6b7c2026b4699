"""A checksum for every array: of a train state on any mesh and any number of processes, and of arrays in a file.

The words of an array are mixed with their places and added modulo 2^32. A single changed word always changes the sum,
since the mixing (the last steps of MurmurHash3) can be inverted. Sums do not depend on an order: every process adds up
the shards that it holds, whatever the mesh.
"""

import functools
import json
import math
import zlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.models.base import Tree

__all__ = ["METADATA", "changed", "of_arrays", "of_tree", "require_unchanged"]

METADATA = "checksums"  # the key of a file's metadata
BLOCK = 1 << 15  # words that are mixed at a time: they stay in the processor's cache


def of_tree(tree: Tree) -> Callable[[], dict[str, int]]:
    """Begins the sums of this process, by the names of the leaves; the sums of all processes add up to the whole.

    On an accelerator the sums are dispatched now, before the arrays may be donated. On CPU they are computed at the
    call of the result, which any thread may do.
    """
    sums: dict[str, Callable[[], int]] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        sums[name] = functools.partial(_host_sum, x) if _on_host(x) else functools.partial(_share, _device_sum(x))
    return lambda: {name: value() for name, value in sums.items()}


def of_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The metadata of a file that say what its arrays are: a CRC-32 of each, with its type and shape."""
    return {METADATA: json.dumps({name: _crc(x) for name, x in arrays.items()})}


def require_unchanged(metadata: Mapping[str, str] | None, arrays: Mapping[str, np.ndarray], place: object) -> None:
    """Raises UserError where arrays of a file are not what its `of_arrays` says; without it anything fits."""
    if METADATA not in (metadata or {}):
        return
    try:
        saved = dict(json.loads(metadata[METADATA]))
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"'{place}' is damaged: its checksums cannot be read; export or copy it again") from None
    for name, x in arrays.items():
        if saved.get(name) != _crc(x):
            raise UserError(f"'{place}' is damaged: {name} is not what was written; export or copy it again")


def changed(saved: Mapping[str, int], found: Mapping[str, int]) -> str:
    """The first name whose checksum differs or that only one of them has; "" where there is none."""
    return next((name for name in {**saved, **found} if saved.get(name) != found.get(name)), "")


def _crc(x: np.ndarray) -> int:
    x = np.asarray(x, order="C")
    return zlib.crc32(x.reshape(-1).view(np.uint8), zlib.crc32(f"{x.dtype.name}{list(x.shape)}".encode()))


def _on_host(x: jax.Array) -> bool:
    return next(iter(x.devices())).platform == "cpu"


def _share(whole: jax.Array) -> int:
    """A device's program has added up all processes: the first one answers for them."""
    return int(whole) if jax.process_index() == 0 else 0


def _host_sum(x: jax.Array) -> int:
    """Of the shards of this process that are no copies of others."""
    total = 0
    for shard in x.addressable_shards:
        if shard.replica_id == 0:
            data = np.asarray(shard.data, order="C")
            words = data.reshape(-1).view(f"u{data.itemsize}")
            places = np.zeros((), np.uint32)
            for part, size, length in zip(shard.index, x.shape, data.shape):
                start = part.indices(size)[0]
                places = places[..., None] * np.uint32(size) + np.arange(start, start + length, dtype=np.uint32)
            places = places.reshape(-1)
            for i in range(0, words.size, BLOCK):
                total += int(_mixed(words[i : i + BLOCK], places[i : i + BLOCK], np).sum(dtype=np.uint64))
    return total % 2**32


@jax.jit
def _device_sum(x: jax.Array) -> jax.Array:
    """`_host_sum` over all devices and processes."""
    words = x.astype(jnp.uint8) if x.dtype == bool else jax.lax.bitcast_convert_type(x, f"uint{8 * x.dtype.itemsize}")
    places = jnp.zeros(x.shape, jnp.uint32)
    for axis in range(x.ndim):
        stride = math.prod(x.shape[axis + 1 :]) % 2**32
        places += jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis) * jnp.uint32(stride)
    return _mixed(words, places, jnp).sum(dtype=jnp.uint32)


def _mixed(words, places, xp):
    """Words of 1 to 8 bytes and their places -> uint32, one to one in words of up to 4 bytes."""
    if words.dtype.itemsize == 8:
        words = words ^ (words >> 32)
    u = xp.uint32
    x = words.astype(u) ^ (places * u(0x9E3779B9))
    x = (x ^ (x >> u(16))) * u(0x85EBCA6B)
    x = (x ^ (x >> u(13))) * u(0xC2B2AE35)
    return x ^ (x >> u(16))
