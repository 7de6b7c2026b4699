"""What an extractor is: pictures in, features and perhaps logits of classes out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.metrics.features.weights import digest
from genjax.pixels import to_bytes

__all__ = ["Extractor", "in_colour", "over_network", "pixels"]

Array = jax.Array
Jit = Callable[..., Callable]
BATCH = 64  # most pictures at once, a device


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Sees pictures (N, H, W, C) uint8 as `features` (N, D) and, where it is a classifier, `logits` (N, K), float32.

    Attributes:
      key: says everything that the numbers depend on: weights and preprocessing. Equal keys give equal features.
      classes: K, or 0 without logits.
    """

    name: str
    key: str
    classes: int
    see: Callable[[np.ndarray], dict[str, np.ndarray]]

    def __call__(self, image_NHWC: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays for pictures in [-1, 1], which are rounded to 8 bits first, as if they came from files."""
        return self.see(pixels(image_NHWC))


def pixels(image_NHWC: np.ndarray) -> np.ndarray:
    """Pictures in [-1, 1] as uint8, rounded to the nearest. Raises UserError for values that are not finite."""
    if not np.isfinite(image_NHWC).all():
        raise UserError("a picture holds a value that is not finite")
    return to_bytes(image_NHWC)


def in_colour(x_BHWC: Array) -> Array:
    """Grey pictures with their channel three times."""
    return jnp.broadcast_to(x_BHWC, (*x_BHWC.shape[:3], 3))


def over_network(
    name: str,
    network: nn.Module,
    params: Any,
    prepare: Callable[[Array], Array],
    *,
    preparation: str,
    classes: int,
    jit: Jit,
) -> Extractor:
    """The extractor that a module is: it returns (features, logits or None), and runs on all devices of this process.

    Args:
      prepare: from pixels (B, H, W, C) float32 in [0, 255] to what the module looks at.
      preparation: names `prepare`, and changes whenever that does.
      jit: `jax.jit`, perhaps with options.
    """
    mesh = jax.make_mesh((jax.local_device_count(),), ("batch",), devices=jax.local_devices())
    rows, everywhere = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in (("batch",), ()))
    most = BATCH * mesh.size
    placed = jax.device_put(params, everywhere)

    def apply(params, pixels_BHWC: Array) -> dict[str, Array]:
        features, logits = network.apply({"params": params}, prepare(pixels_BHWC.astype(jnp.float32)))
        return {"features": features} | ({} if logits is None else {"logits": logits})

    run = jit(apply, in_shardings=(everywhere, rows), out_shardings=rows)

    def see(pixels_NHWC: np.ndarray) -> dict[str, np.ndarray]:
        parts = []
        for start in range(0, len(pixels_NHWC), most):
            part = pixels_NHWC[start : start + most]
            size = mesh.size << (-(-len(part) // mesh.size) - 1).bit_length()  # few programs serve batches of any size
            filled = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), np.uint8)])
            parts.append({key: x[: len(part)] for key, x in jax.device_get(run(placed, filled)).items()})
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    return Extractor(name, f"{name} {preparation} {digest(params)}", classes, see)
