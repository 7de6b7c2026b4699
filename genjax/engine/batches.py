"""A batch without its data: for programs that are traced or compiled, and not run."""

from collections.abc import Mapping

import jax

from genjax.spec import DataSpec

__all__ = ["abstract_batch"]


def abstract_batch(
    spec: DataSpec, batch_size: int, sharding, lengths: Mapping[str, int] = {}
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch; `lengths` are those of a bucket."""
    return {
        name: jax.ShapeDtypeStruct((batch_size, *values.shape), values.dtype, sharding=sharding)
        for name, values in spec.arrays(lengths).items()
    }
