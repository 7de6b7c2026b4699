"""Films: pictures one after another, as .gif or .mp4."""

import importlib.util
import io
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genjax.errors import UsageError, UserError
from genjax.files import write_atomic

__all__ = ["FILMS", "film", "require_encoder", "write_training_film"]

FILMS = (".gif", ".mp4")
SHEETS, END = 3, 2  # sheets a second, and seconds for which the last one is shown
STRIP, FONT = 18, 12  # pixels: under a sheet, for its step, and the letters' size


def film(frames: Sequence[np.ndarray], suffix: str, rate: float = 15) -> bytes:
    """The file of a film that has `rate` frames (H, W[, 3]) uint8 of one size a second; a .gif begins again at its end.

    Raises UserError where an .mp4 is asked for and imageio-ffmpeg, which brings an encoder, is not installed.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    if suffix == ".mp4":
        return _mp4([picture.convert("RGB") for picture in pictures], rate)
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=1000 / rate, loop=0)
    return buffer.getvalue()


def require_encoder() -> None:
    """Raises UserError where an .mp4 cannot be made."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError(
            'an .mp4 needs an encoder: pip install "genjax-suite[film]", or choose a name that ends in .gif'
        )


def write_training_film(run: Path, out: Path, of: str = "") -> Path:
    """A run's training as a film of its sheets of samples, each with its step; `of`: another kind, STEP-KIND.png.

    Raises UsageError for another suffix, UserError where there are no two sheets of that kind, or a broken one.
    """
    if out.suffix not in FILMS:
        raise UsageError(f"--out {out}: a film needs a name that ends in {' or '.join(FILMS)}")
    sheets, kinds = {}, set()
    for file in (run / "samples").glob("*.png"):
        if match := re.fullmatch(r"(\d+)(?:-(.+))?\.png", file.name):
            kinds.add(match[2] or "")
            if (match[2] or "") == of:
                sheets[int(match[1])] = file
    if len(sheets) < 2:
        others = ", ".join(f"--of {kind}" for kind in sorted(kinds - {of, ""}))
        hint = f"there are {others}" if others else "train with a smaller --train.sample-every"
        if not kinds and any((run / "samples").glob("*.txt")):
            raise UserError(f"'{run}' draws texts, and a film is of pictures: read its samples/")
        raise UserError(f"'{run}' has {len(sheets)} sheet(s) of samples, and a film needs two: {hint}")
    try:
        pictures = {step: Image.open(sheets[step]).convert("RGB") for step in sorted(sheets)}
    except Exception as error:  # Pillow tells damage by errors of many kinds
        raise UserError(f"'{run / 'samples'}' has a sheet that is no readable picture: {error}") from None
    size = tuple(max(picture.size[axis] for picture in pictures.values()) for axis in (0, 1))
    frames = [np.asarray(_captioned(picture, f"step {step:,}", size)) for step, picture in pictures.items()]
    return write_atomic(out, film([*frames, *frames[-1:] * (END * SHEETS)], out.suffix, SHEETS))


def _captioned(picture: Image.Image, words: str, size: tuple[int, int]) -> Image.Image:
    """The picture on white, `size` and a strip under it."""
    frame = Image.new("RGB", (size[0], size[1] + STRIP), "white")
    frame.paste(picture)
    ImageDraw.Draw(frame).text((2, size[1] + 2), words, fill="black", font=ImageFont.load_default(FONT))
    return frame


def _mp4(pictures: list[Image.Image], rate: float) -> bytes:
    """H.264, whose sides are even."""
    require_encoder()
    import imageio_ffmpeg

    width, height = (side + side % 2 for side in pictures[0].size)
    with tempfile.TemporaryDirectory(prefix="genjax-film-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # JAX warns of every fork; this one becomes the encoder at once
        place = Path(folder) / "film.mp4"
        options = {"macro_block_size": 2, "quality": 8, "ffmpeg_log_level": "error"}
        writer = imageio_ffmpeg.write_frames(str(place), (width, height), fps=rate, **options)
        writer.send(None)
        for picture in pictures:
            frame = Image.new("RGB", (width, height), "white")
            frame.paste(picture)
            writer.send(frame.tobytes())
        writer.close()
        return place.read_bytes()
