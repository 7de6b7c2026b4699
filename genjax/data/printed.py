"""Handwritten digits beside the same digits printed, for systems that turn pictures of one kind into another."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genjax.data import readers
from genjax.data.captions import WORDS
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset, hold_out
from genjax.data.npz import handwritten
from genjax.data.tokenizers import Tokenizer
from genjax.data.transforms import resize_array
from genjax.experiment import Data
from genjax.pixels import to_float

__all__ = ["printed_digits"]

SIDE, FINE = 16, 4  # pixels of a picture, and how many times finer it is drawn
PLAIN = "DejaVuSans-Bold"
FONTS = (  # of those that matplotlib brings along: the ones with upright or slanted digits of an ordinary shape
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    *("STIXGeneralBolIta", "cmr10", "cmb10", "cmss10", "cmtt10"),
)


@readers.register("printed_digits")
def printed_digits(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """Scikit-learn's 1797 handwritten digits, enlarged to 16x16 pixels, each beside the same digit printed.

    --data.fields chooses among `handwritten`, `printed` (in one of 18 fonts that matplotlib brings along, a seeded
    draw), `plain` (always in bold DejaVu Sans), `word` (the digit's name in letters) and `label`. Training and
    validation are those of the source `digits`.
    """
    image_NHWC, label_N = handwritten()
    fonts_N = np.random.Generator(np.random.Philox(0)).integers(len(FONTS), size=len(label_N))
    drawn = {(font, digit): _drawn(font, str(digit)) for font in FONTS for digit in range(10)}
    columns = {
        "handwritten": resize_array(image_NHWC, SIDE),
        "printed": np.stack([drawn[FONTS[font], digit] for font, digit in zip(fonts_N, label_N)]),
        "plain": np.stack([drawn[PLAIN, digit] for digit in label_N]),
        "word": objects([WORDS[digit] for digit in label_N]),
        "label": label_N,
    }
    held = zip(("train", "validation"), hold_out(len(label_N), 297 / 1797, place))
    splits = {split: {name: column[ids] for name, column in columns.items()} for split, ids in held}
    return columns_dataset(data, place, splits, tokenizer, kinds={"word": "text"})


def _drawn(font: str, digit: str) -> np.ndarray:
    """(SIDE, SIDE, 1) float32 in [-1, 1]: white on black, as high as the picture but for a border, in the middle."""
    from matplotlib import get_data_path

    file, size = Path(get_data_path()) / "fonts" / "ttf" / f"{font}.ttf", SIDE * FINE
    page = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(page).text((size, size), digit, fill=255, font=ImageFont.truetype(file, size))
    ink, most = page.crop(page.getbbox()), size - 2 * FINE
    scale = min(most / ink.height, most / ink.width)
    ink = ink.resize((round(ink.width * scale), round(ink.height * scale)), Image.Resampling.BICUBIC)
    picture = Image.new("L", (size, size))
    picture.paste(ink, ((size - ink.width) // 2, (size - ink.height) // 2))
    return to_float(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))[..., None])
