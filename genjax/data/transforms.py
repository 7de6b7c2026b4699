"""Images: decoding, resizing, cropping, mirroring, and the float range that models see."""

import dataclasses
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from genjax.memory import require_room

__all__ = [
    "View",
    "array_with_channels",
    "corner",
    "decode",
    "mirror",
    "natural_channels",
    "opened",
    "oriented_size",
    "require_shape",
    "resize_array",
    "shorter_side_to",
    "with_channels",
]

LARGEST = 2**27  # pixels that are decoded of an image, or made of it
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 turn the image by 90 degrees


warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `opened` refuses them in one line


@dataclasses.dataclass(frozen=True)
class View:
    """How images are shown to the model. `size` None keeps them as they are."""

    size: int | None
    channels: int
    flip: bool = False
    random_crop: bool = False


def mirror(image_BHWC: np.ndarray, draw_B: np.ndarray) -> np.ndarray:
    """Half of the images, left to right."""
    return np.where((draw_B < 0.5)[:, None, None, None], image_BHWC[:, :, ::-1], image_BHWC)


def corner(excess: int, draw: float | None) -> int:
    """Where a crop starts that leaves `excess` pixels out: the centre, or uniform by a draw in [0, 1)."""
    return excess // 2 if draw is None else int(draw * (excess + 1))


def opened(file: str | Path | IO[bytes]) -> Image.Image:
    """An image whose pixels are still encoded. Raises ValueError where they are too many to be decoded."""
    image = Image.open(file)
    if image.width * image.height > LARGEST:
        image.close()
        raise ValueError(f"it has {image.width} x {image.height} pixels; at most {LARGEST} are decoded")
    return image


def require_shape(size: int, width: int, height: int) -> None:
    """Raises ValueError where an image scaled to `size` is so thin that its longer side has too many pixels."""
    wide, high = shorter_side_to(size, width, height)
    if wide * high > LARGEST:
        raise ValueError(f"{width} x {height} pixels are too thin to be shown as {size} x {size}")


def shorter_side_to(size: int, width: int, height: int) -> tuple[int, int]:
    """(width, height) scaled so that the shorter one is `size`."""
    scale = size / min(width, height)
    return max(size, round(width * scale)), max(size, round(height * scale))


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) as it is meant to be seen, without decoding the image."""
    if image.width == image.height:  # PNG's EXIF may stand behind the pixels: Pillow decodes them to find it
        return image.size
    turned = image.getexif().get(ORIENTATION, 1) >= 5
    return image.size[::-1] if turned else image.size


def natural_channels(image: Image.Image) -> int:
    """1 for grey images, also where grey is written as a palette, as in GIF files; 3 for colour."""
    if image.mode == "P":
        palette_P3 = np.reshape(image.getpalette("RGB"), (-1, 3))
        return 1 if (palette_P3 == palette_P3[:, :1]).all() else 3
    return 1 if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I") else 3


def decode(file: IO[bytes], view: View, place: np.ndarray | None) -> np.ndarray:
    """An image file as (H, W, C) uint8, resized and cropped: at `place` (2,) in [0, 1), or at the centre.

    Turned as EXIF says, transparency composited on white. Raises whatever Pillow raises on a broken file.
    """
    with opened(file) as image:
        if view.size is not None:
            require_shape(view.size, *image.size)
            image.draft(None, (view.size, view.size))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is enough
        ImageOps.exif_transpose(image, in_place=True)  # else it copies what is not to be turned
        image = with_channels(image, view.channels)
        if view.size is not None:
            image = image.resize(shorter_side_to(view.size, *image.size), Image.Resampling.BICUBIC)
            down, right = (None, None) if place is None else place
            left, top = corner(image.width - view.size, right), corner(image.height - view.size, down)
            if image.size != (view.size, view.size):
                image = image.crop((left, top, left + view.size, top + view.size))
        return np.asarray(image, np.uint8).reshape(image.height, image.width, view.channels)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode[0] in "IF":  # 16 bits, or floats; Pillow would clip them at 255
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(pixels_HW: np.ndarray) -> np.ndarray:
    """Integers of 16 bits, or floats in [0, 1], as uint8. Raises ValueError for others."""
    low, high = pixels_HW.min(), pixels_HW.max()
    if pixels_HW.dtype.kind == "f" and low >= 0 and high <= 1:
        return (pixels_HW * 255).round().astype(np.uint8)
    if pixels_HW.dtype.kind != "f" and low >= 0 and high < 2**16:
        return (pixels_HW >> 8).astype(np.uint8)
    raise ValueError(f"its pixels are {pixels_HW.dtype}, {low} to {high}; integers of 16 bits and floats to 1 are read")


def resize_array(image_NHWC: np.ndarray, size: int) -> np.ndarray:
    """The shorter side to `size`; not cropped. uint8 stays uint8 and float32 float32 (clipped to [-1, 1])."""
    count, height, width, channels = image_NHWC.shape
    if min(height, width) == size:
        return image_NHWC
    wide, high = shorter_side_to(size, width, height)
    require_room(count * high * wide * channels * image_NHWC.itemsize, f"{count} images of {high} x {wide}")
    resized = np.empty((count, high, wide, channels), image_NHWC.dtype)
    for n, channel in np.ndindex(count, channels):
        plane = Image.fromarray(image_NHWC[n, :, :, channel])
        resized[n, :, :, channel] = plane.resize((wide, high), Image.Resampling.BICUBIC)
    return resized if resized.dtype == np.uint8 else resized.clip(-1, 1)


def array_with_channels(image_NHWC: np.ndarray, channels: int) -> np.ndarray:
    """Grey to colour by repetition; colour to grey by the luma of ITU-R 601, as Pillow does."""
    if image_NHWC.shape[3] == channels:
        return image_NHWC
    if channels == 3:
        return np.repeat(image_NHWC, 3, axis=3)
    grey = np.empty((*image_NHWC.shape[:3], 1), image_NHWC.dtype)
    for n, image_HWC in enumerate(image_NHWC):  # one at a time: the float copy of a whole data set is big
        luma_HW = image_HWC @ np.array([0.299, 0.587, 0.114], np.float32)
        grey[n, :, :, 0] = luma_HW.round() if grey.dtype == np.uint8 else luma_HW
    return grey
