"""What a network knows of where it runs: the mesh, the replicas, the platform."""

import math

import jax
from jax.sharding import PartitionSpec

__all__ = ["BATCH", "REPLICA", "constrain", "fitting_spec", "platform", "replica_axis"]

REPLICA = "replica"  # the axis that pmap maps over
BATCH = ("data", "fsdp")  # the mesh axes that split the batch dimension


def constrain(x: jax.Array, *spec) -> jax.Array:
    """Asks for a sharding of x, one mesh axis (or None) per dimension; no-op without a mesh and under pmap.

    An axis that does not divide its dimension is dropped, as are axes that the mesh lacks.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or replica_axis() is not None:
        return x
    return jax.lax.with_sharding_constraint(x, fitting_spec(spec, x.shape, dict(mesh.shape)))


def fitting_spec(spec: tuple, shape: tuple[int, ...], mesh_shape: dict[str, int]) -> PartitionSpec:
    """The spec without the axes that the mesh lacks, or that do not divide their dimension."""

    def fit(axes, size: int):
        names = (axes,) if isinstance(axes, str) else tuple(axes or ())
        names = tuple(name for name in names if name in mesh_shape)
        if not names or size % math.prod(mesh_shape[name] for name in names):
            return None
        return names if len(names) > 1 else names[0]

    return PartitionSpec(*(fit(axes, size) for axes, size in zip(spec, shape)))


def replica_axis() -> str | None:
    """The name of pmap's axis inside pmap, for batch statistics and state reductions; else None."""
    try:
        jax.lax.axis_size(REPLICA)
    except NameError:
        return None
    return REPLICA


def platform() -> str:
    """JAX's name of it, such as "cpu": the mesh's, which may be of devices that are not there; else the default."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device is not None else jax.default_backend()
