"""Pictures in a grid, as pixels."""

import io
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genjax.errors import UserError
from genjax.pixels import to_bytes

__all__ = ["GAP", "WIDTH", "beside", "image_grid", "png", "recoded"]

GAP, WIDTH = 2, 400  # pixels: between images, and the least width of a grid
CAPTION, FONT, LINES = 120, 11, 3  # the least width of a picture with a caption, its letters' size, its most lines


def image_grid(images: np.ndarray, columns: int | None = None, captions: Sequence[str] = ()) -> np.ndarray:
    """(N, H, W, C) in [-1, 1] -> one uint8 grid, nearly square by default, (rows, columns[, 3]) pixels.

    Of (N, K, H, W, C) the K pictures of an example stand side by side. Small images are enlarged by a whole factor,
    without smoothing. Values are clipped; NaN is drawn grey.

    Args:
      columns: examples in a row.
      captions: a text under each example.
    """
    x_NKHWC = np.asarray(images, np.float32)
    if x_NKHWC.ndim == 4:
        x_NKHWC = x_NKHWC[:, None]
    if x_NKHWC.ndim != 5 or x_NKHWC.shape[-1] not in (1, 3) or 0 in x_NKHWC.shape:
        raise UserError(
            f"samples of shape {np.shape(images)} are no pictures: expected (N, H, W, 1 or 3), N at least 1"
        )
    x_NKHWC = to_bytes(x_NKHWC)
    count, pictures, height, width, channels = x_NKHWC.shape
    columns = min(columns or math.ceil(math.sqrt(count * height / (pictures * width))), count)
    rows, wide = math.ceil(count / columns), pictures * width
    factor = max(math.ceil(WIDTH / (columns * wide)), math.ceil(CAPTION / wide) if captions else 1)
    x_NKHWC = x_NKHWC.repeat(factor, axis=2).repeat(factor, axis=3)
    x_NKHWC = np.pad(x_NKHWC, ((0, 0), (0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    x_NHWC = x_NKHWC.swapaxes(1, 2).reshape(count, height * factor, -1, channels)
    if captions:
        below_NHW = _written(captions, x_NHWC.shape[2] - GAP)
        below_NHW = np.pad(below_NHW, ((0, 0), (0, 0), (0, GAP)), constant_values=255)
        x_NHWC = np.concatenate([x_NHWC, below_NHW[..., None].repeat(channels, axis=-1)], axis=1)
    missing = rows * columns - count
    x_NHWC = np.pad(x_NHWC, ((0, missing), (0, GAP), (0, 0), (0, 0)), constant_values=255)
    x_RKHWC = x_NHWC.reshape(rows, columns, *x_NHWC.shape[1:])
    grid = np.concatenate(np.concatenate(x_RKHWC, axis=1), axis=1)[:-GAP, :-GAP]
    return grid[..., 0] if grid.shape[-1] == 1 else grid


def beside(images: Sequence[np.ndarray]) -> np.ndarray:
    """K arrays (N, h, w, c) -> (N, K, H, W, C) for `image_grid`: in the size of the largest, in colour if one is."""
    height, width, channels = (max(image.shape[axis] for image in images) for axis in (1, 2, 3))
    rows, columns = np.arange(height), np.arange(width)
    fitted = []
    for image in images:
        image = image[:, rows * image.shape[1] // height][:, :, columns * image.shape[2] // width]
        fitted.append(np.broadcast_to(image, (len(image), height, width, channels)))
    return np.stack(fitted, axis=1)


def png(pixels: np.ndarray) -> bytes:
    """The PNG file of a grid, or of one picture (H, W[, 3]) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def recoded(data: bytes, suffix: str) -> bytes:
    """A PNG file in the format of the suffix: .png, .jpg or .webp."""
    if suffix == ".png":
        return data
    picture, buffer = Image.open(io.BytesIO(data)).convert("RGB"), io.BytesIO()
    picture.save(buffer, Image.registered_extensions()[suffix], quality=92)
    return buffer.getvalue()


def _written(texts: Sequence[str], width: int) -> np.ndarray:
    """(N, h, width) uint8: black on white in Pillow's own font, as high as the longest text needs."""
    font = ImageFont.load_default(FONT)
    letters = max(1, int(width / font.getlength("n")))
    wrapped = [textwrap.wrap(text, letters, max_lines=LINES, placeholder="…") for text in texts]
    height = max(map(len, wrapped)) * (FONT + 3) + 2
    pictures = []
    for lines in wrapped:
        picture = Image.new("L", (width, height), 255)
        ImageDraw.Draw(picture).multiline_text((1, 0), "\n".join(lines), fill=0, font=font, spacing=2)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)
