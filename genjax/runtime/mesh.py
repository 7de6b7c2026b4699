"""The mesh of devices, and how state and batches lie on it."""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from genjax.errors import UserError
from genjax.experiment import Mesh
from genjax.nn.sharding import BATCH, REPLICA, fitting_spec

__all__ = [
    "AXES",
    "batch_parts",
    "batch_sharding",
    "make_mesh",
    "mesh_shape",
    "parameter_path",
    "process_rows",
    "put",
    "replica_mesh",
    "tree_shardings",
]

AXES = ("data", "fsdp", "tensor")
MIN_SHARDED = 4096  # elements; smaller arrays are replicated, since gathering them costs more than they weigh

Rules = Sequence[tuple[str, tuple]]


def mesh_shape(config: Mesh, devices: int) -> tuple[int, int, int]:
    """(data, fsdp, tensor) with -1 filled in. Raises UserError where it does not fit the number of devices."""
    asked = [getattr(config, axis) for axis in AXES]
    words = " x ".join(f"{axis} {size}" for axis, size in zip(AXES, asked))
    if asked.count(-1) > 1 or any(size < 1 and size != -1 for size in asked):
        raise UserError(f"mesh {words}: sizes are positive, and at most one of them is -1")
    known = math.prod(size for size in asked if size != -1)
    if devices % known or (-1 not in asked and known != devices):
        raise UserError(f"mesh {words} does not fit {devices} device{'s' * (devices != 1)}: set --mesh.data -1")
    return tuple(devices // known if size == -1 else size for size in asked)


def make_mesh(config: Mesh, devices: Sequence[Any] | None = None) -> jax.sharding.Mesh:
    """A mesh with axes data, fsdp, tensor over all devices of all processes."""
    devices = jax.devices() if devices is None else list(devices)
    shape = mesh_shape(config, len(devices))
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)


def replica_mesh(mesh: jax.sharding.Mesh) -> jax.sharding.Mesh:
    """The devices of a mesh in one row, as `pmap` sees them."""
    devices = list(mesh.devices.flat)
    return jax.make_mesh((len(devices),), (REPLICA,), axis_types=(AxisType.Auto,), devices=devices)


def batch_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Rows over data x fsdp, replicated over tensor."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def batch_parts(mesh: jax.sharding.Mesh) -> int:
    """The number of parts a batch is split into."""
    return math.prod(mesh.shape[axis] for axis in BATCH)


def parameter_path(path: tuple) -> str:
    """`entry/module/.../name` of a leaf of the train state, the same for a parameter, its moments and its average."""
    return "/".join(str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey))


def tree_shardings(tree: Any, rules: Rules, mesh: jax.sharding.Mesh) -> Any:
    """A NamedSharding for each array of a tree of shapes: the first rule that matches its path, or the default.

    A rule is (regex, mesh axes per dimension), matched against the end of `parameter_path`. The default shards the
    largest dimension that fsdp divides. Axes that do not divide a dimension are dropped.
    """

    def shard(path, leaf):
        name = parameter_path(path)
        spec = next((spec for rule, spec in rules if re.search(rf"(^|/){rule}$", name)), None)
        if spec is None or len(spec) != leaf.ndim:
            spec = default_spec(leaf.shape, mesh.shape["fsdp"])
        return NamedSharding(mesh, fitting_spec(spec, leaf.shape, dict(mesh.shape)))

    return jax.tree_util.tree_map_with_path(shard, tree)


def default_spec(shape: tuple[int, ...], fsdp: int) -> tuple:
    """fsdp on the largest dimension it divides (the last of equals); nothing for small arrays."""
    fits = [i for i, size in enumerate(shape) if size % fsdp == 0]
    if fsdp == 1 or not fits or math.prod(shape) < MIN_SHARDED:
        return (None,) * len(shape)
    chosen = max(fits, key=lambda i: (shape[i], i))
    return tuple("fsdp" if i == chosen else None for i in range(len(shape)))


def process_rows(sharding: NamedSharding, batch_size: int) -> slice:
    """The rows of the global batch that this process's devices need (all from the first to the last of them)."""
    rows = [index[0] for index in sharding.addressable_devices_indices_map((batch_size,)).values()]
    return slice(min(r.start or 0 for r in rows), max(batch_size if r.stop is None else r.stop for r in rows))


def put(batch: dict[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Global arrays, from the rows of `process_rows` that each process holds."""
    parts = batch_parts(sharding.mesh)
    held = process_rows(sharding, parts)  # of the parts that the batch is split into
    batch_size = len(next(iter(batch.values()))) * parts // (held.stop - held.start)
    first = process_rows(sharding, batch_size).start

    def assemble(local: np.ndarray) -> jax.Array:
        def rows(index: tuple[slice, ...]) -> np.ndarray:
            start, stop, _ = index[0].indices(batch_size)
            return local[start - first : stop - first]

        return jax.make_array_from_callback((batch_size, *local.shape[1:]), sharding, rows)

    return {name: assemble(local) for name, local in batch.items()}
