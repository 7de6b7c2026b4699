"""Images: decoding, resizing, cropping, mirroring, and the float range that models see."""

import dataclasses
from typing import IO

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 turn the image by 90 degrees


@dataclasses.dataclass(frozen=True)
class View:
    """How images are shown to the model. `size` None keeps them as they are."""

    size: int | None
    channels: int
    flip: bool = False
    random_crop: bool = False


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [-1, 1]; floats are there already."""
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1) if image.dtype == np.uint8 else image


def mirror(image_BHWC: np.ndarray, draw_B: np.ndarray) -> np.ndarray:
    """Half of the images, left to right."""
    return np.where((draw_B < 0.5)[:, None, None, None], image_BHWC[:, :, ::-1], image_BHWC)


def corner(excess: int, draw: float | None) -> int:
    """Where a crop starts that leaves `excess` pixels out: the centre, or uniform by a draw in [0, 1)."""
    return excess // 2 if draw is None else int(draw * (excess + 1))


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
    return 1 if image.mode in ("1", "L", "LA") or image.mode.startswith("I") else 3


def decode(file: IO[bytes], view: View, draws: np.ndarray | None) -> np.ndarray:
    """An image file as (H, W, C) uint8, resized and cropped: at random by `draws`, or at the centre.

    Turned as EXIF says, transparency composited on white. Raises whatever Pillow raises on a broken file.
    """
    with Image.open(file) as image:
        if view.size is not None:
            image.draft(None, (view.size, view.size))  # JPEG: decode at 1/2, 1/4 or 1/8 where that is enough
        image = with_channels(ImageOps.exif_transpose(image), view.channels)
        if view.size is not None:
            image = image.resize(shorter_side_to(view.size, *image.size), Image.Resampling.BICUBIC)
            down, right = (None, None) if draws is None or not view.random_crop else draws[1:3]
            left, top = corner(image.width - view.size, right), corner(image.height - view.size, down)
            image = image.crop((left, top, left + view.size, top + view.size))
        return np.asarray(image, np.uint8).reshape(image.height, image.width, view.channels)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits; Pillow would clip them at 255
        image = Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def resize_array(image_NHWC: np.ndarray, size: int) -> np.ndarray:
    """The shorter side to `size`; not cropped. uint8 stays uint8 and float32 float32 (clipped to [-1, 1])."""
    count, height, width, channels = image_NHWC.shape
    if min(height, width) == size:
        return image_NHWC
    wide, high = shorter_side_to(size, width, height)
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
