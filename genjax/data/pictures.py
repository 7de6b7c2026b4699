"""Single image files that a user names on the command line: images to start from, and masks."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from genjax.data import transforms
from genjax.errors import UsageError
from genjax.files import require_file
from genjax.pixels import to_float

__all__ = ["read_image", "read_mask"]


def read_image(path: str, shape: tuple[int, int, int], flag: str, crop: bool = True) -> np.ndarray:
    """An image file as (H, W, C) float32 in [-1, 1], scaled and cropped at the centre to `shape`.

    Raises UsageError, naming the `flag` it was given with, where it cannot be read, or where crop=False and more than a
    pixel of `shape` would have to be cut off.
    """
    height, width, channels = shape
    image = transforms.with_channels(_open(path, flag), channels)
    scale = max(height / image.height, width / image.width)
    if not crop and max(image.height * scale - height, image.width * scale - width) >= 1:
        raise UsageError(
            f"{flag} '{path}' is {image.width} x {image.height} pixels, and the model's images are {width} x {height}: "
            "cut it to this shape, in any size"
        )
    pixels = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC), np.uint8)
    return to_float(pixels.reshape(shape))


def read_mask(path: str, shape: tuple[int, int, int], image: str, flag: str = "--mask") -> np.ndarray:
    """A mask for the image file `image`: (H, W, 1) float32, 1 where it is white (at least half grey), else 0.

    What is transparent is black; of one colour with holes, the holes are black and the rest is white. A mask of the
    values 0 and 1 alone is white at 1.

    Raises UsageError where it cannot be read, has neither the size of the image file nor that of the model, or is white
    nowhere.
    """
    mask, size = _grey(_open(path, flag)), _open(image, "--init").size
    if mask.size not in (size, shape[1::-1]):
        wide, high = mask.size
        raise UsageError(
            f"{flag} '{path}' is {wide} x {high} pixels, --init '{image}' {size[0]} x {size[1]}: make the mask as large"
        )
    pixels = np.asarray(ImageOps.fit(mask, shape[1::-1], Image.Resampling.NEAREST))
    if not (pixels >= 128).any():
        raise UsageError(f"{flag} '{path}' is white nowhere, and would leave all of --init '{image}' as it is")
    return (pixels >= 128).astype(np.float32)[..., None]


def _grey(mask: Image.Image) -> Image.Image:
    """In 8 bits, over black where it is transparent."""
    if mask.has_transparency_data:
        mask = mask.convert("RGBA")
        grey, alpha = mask.convert("RGB").convert("L"), mask.getchannel("A")
        seen = np.asarray(grey)[np.asarray(alpha) > 0]
        holes = len(set(seen.tolist())) < 2 and alpha.getextrema()[0] < alpha.getextrema()[1]
        mask = alpha if holes else ImageChops.multiply(grey, alpha)
    pixels = np.asarray(mask if mask.mode.startswith("I") else mask.convert("L"))
    if pixels.max() <= 1:
        pixels = pixels * 255
    elif mask.mode.startswith("I"):  # 16 bits
        pixels = pixels.clip(0, 2**16 - 1) >> 8
    return Image.fromarray(pixels.astype(np.uint8))


def _open(path: str, flag: str) -> Image.Image:
    try:
        require_file(Path(path))
        with transforms.opened(path) as image:
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises errors of many kinds for a broken file
        raise UsageError(f"{flag}: cannot read the image '{path}': {error}") from None
