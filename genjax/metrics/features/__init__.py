"""Extractors of features from pictures, by name: `--features NAME[:FILE]`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from genjax.errors import UsageError
from genjax.metrics.features import networks, pairs, vit
from genjax.metrics.features.base import Extractor, Jit
from genjax.metrics.features.networks import layer_weights
from genjax.spec import Image

__all__ = ["EXTRACTORS", "Extractor", "extractor_weights", "load_extractor"]

EXTRACTORS: dict[str, Callable[[Path | None, Image, Jit], Extractor]] = {
    "digits": networks.digits,
    "digit_pairs": pairs.digit_pairs,
    "classifier": networks.classifier,
    "random": networks.random,
    "inception": networks.inception_2015,
    "dinov2": vit.dinov2,
    "clip": vit.clip,
    "efficientnet_lite0": networks.efficientnet_lite0,
}


def load_extractor(choice: str, image: Image, jit: Jit = jax.jit) -> Extractor:
    """The extractor NAME[:FILE] for pictures of this kind.

    Raises:
      UsageError: no such extractor, or a file that is missing in the choice. UserError: the file cannot be read, is
        of another network, or the extractor does not see such pictures.
    """
    name, colon, file = choice.partition(":")
    if name not in EXTRACTORS:
        raise UsageError(f"--features {choice}: there is no such extractor; there are {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name](Path(file).expanduser() if colon else None, image, jit)


def extractor_weights(name: str, file: Path | None, shapes: Any) -> Any:
    """Those parameters of an extractor's network that `shapes`, a tree of some of its layers, has.

    Raises as `load_extractor`; UsageError too for an extractor whose layers are not compared.
    """
    layered = ("digits", "classifier", "efficientnet_lite0", "inception")
    if name not in layered:
        raise UsageError(f"features:{name}: there is no such extractor with layers; there are {', '.join(layered)}")
    if file is None and name != "digits":
        EXTRACTORS[name](None, Image(1, 1, 1), jax.jit)  # it says where its weights are
    return layer_weights(name, file, shapes)
