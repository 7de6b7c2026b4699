"""DINOv2 and CLIP's image encoder as extractors, from safetensors in the layout of Hugging Face's transformers."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from genjax.errors import UsageError, UserError
from genjax.interop.vit import Arrays, from_clip, from_dinov2
from genjax.metrics.features.base import Extractor, Jit, in_colour, over_network
from genjax.metrics.features.weights import fitted, read_arrays
from genjax.networks.vit import CLIP_L14, DINOV2_L14, ViT, ViTConfig
from genjax.spec import Image

__all__ = ["clip", "dinov2"]

Array = jax.Array

# Mean and standard deviation of the pixels that each was trained on, in [0, 1].
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def dinov2(file: Path | None, image: Image, jit: Jit, config: ViTConfig = DINOV2_L14) -> Extractor:
    """DINOv2 ViT-L/14: the normalized class token (Stein et al. 2023, arXiv:2306.04675). Pictures become squares.

    The positions, learned at 518 pixels, are interpolated as in transformers; the authors' own code adds 0.1 to the
    number of patches there.
    """
    if file is None:
        raise UsageError("--features dinov2:FILE needs model.safetensors of facebook/dinov2-large (Hugging Face)")

    def prepare(x_BHWC: Array) -> Array:
        return normalized(resized(in_colour(x_BHWC), config.size, config.size), *IMAGENET)

    params = _fitted(from_dinov2, config, file, "DINOv2 ViT-L/14")
    return over_network("dinov2", ViT(config), params, prepare, preparation="bicubic", classes=0, jit=jit)


def clip(file: Path | None, image: Image, jit: Jit, config: ViTConfig = CLIP_L14) -> Extractor:
    """CLIP ViT-L/14: the projected embedding of the image, not normalized. Pictures are cropped to a square."""
    if file is None:
        raise UsageError("--features clip:FILE needs model.safetensors of openai/clip-vit-large-patch14 (Hugging Face)")

    def prepare(x_BHWC: Array) -> Array:
        height, width = x_BHWC.shape[1:3]
        high, wide = (config.size * side // min(height, width) for side in (height, width))
        top, left = round((high - config.size) / 2), round((wide - config.size) / 2)
        x_BHWC = resized(in_colour(x_BHWC), high, wide)
        return normalized(x_BHWC[:, top : top + config.size, left : left + config.size], *CLIP)

    params = _fitted(from_clip, config, file, "CLIP ViT-L/14")
    return over_network("clip", ViT(config), params, prepare, preparation="bicubic crop", classes=0, jit=jit)


def resized(x_BHWC: Array, height: int, width: int) -> Array:
    """Bicubic with antialias as Pillow does it: first each row, then each column, rounded to 8 bits both times."""
    for shape in ((len(x_BHWC), x_BHWC.shape[1], width, 3), (len(x_BHWC), height, width, 3)):
        x_BHWC = jnp.round(jnp.clip(jax.image.resize(x_BHWC, shape, "bicubic"), 0, 255))
    return x_BHWC


def normalized(x_BHWC: Array, mean: tuple[float, ...], std: tuple[float, ...]) -> Array:
    return (x_BHWC / 255 - jnp.array(mean)) / jnp.array(std)


def _fitted(port: Callable[[Arrays, ViTConfig], Arrays], config: ViTConfig, file: Path, name: str):
    shape, tensors = (1, config.size, config.size, 3), read_arrays(file)
    shapes = jax.eval_shape(ViT(config).init, jax.random.key(0), jnp.zeros(shape))["params"]
    try:
        return fitted(shapes, port(tensors, config), file, name)
    except KeyError as error:
        raise UserError(f"{file} holds no weights of {name}: its {error.args[0]} is not there") from None
    except ValueError as error:
        raise UserError(f"{file} holds no weights of {name}: they are of another size ({error})") from None
