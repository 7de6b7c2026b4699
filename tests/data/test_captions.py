import numpy as np

from genjax import data
from genjax.data.captions import NOTHING, WORDS
from genjax.data.npz import handwritten
from genjax.experiment import Data


def test_captions_say_what_the_pictures_show():
    dataset = data.load(Data(source="captioned_digits", tokenizer="bpe:320", context=8))
    batch, texts = dataset.validation.gather(np.arange(600)), dataset.texts["validation"]["caption"]
    for image, left, right, text in zip(batch["image"], batch["left"], batch["right"], texts):
        words, empty = text.split(), [half.max() == -1 for half in np.split(image, 2, axis=1)]
        assert empty == [left == NOTHING, right == NOTHING]
        if "next" in words:
            assert words == [WORDS[left], "next", "to", WORDS[right]]
        else:
            assert words[-3:] == ["on", "the", "left" if right == NOTHING else "right"]
            assert WORDS[min(left, right)] == words[-4] and set(words[1:-4]) <= {"thin", "bold"}
    assert batch["caption_length"].max() <= 8  # no text is cut


def test_no_digit_is_in_both_splits():
    dataset = data.load(Data(source="captioned_digits", tokenizer="byte", context=32))

    def halves(split):
        image = dataset.splits[split].gather(np.arange(600))["image"]
        return {half.tobytes() for half in image.reshape(-1, 8, 2, 8).swapaxes(1, 2).reshape(-1, 64)}

    image_NHWC, _ = handwritten()
    copies = len(image_NHWC) - len({image.tobytes() for image in image_NHWC})
    assert len(halves("train") & halves("validation")) <= copies + 1  # an empty half is in both


def test_thin_digits_have_less_ink_than_bold_ones():
    dataset = data.load(Data(source="captioned_digits", tokenizer="bpe:320", context=8))
    image = dataset.train.gather(np.arange(6000))["image"].sum((1, 2, 3))
    texts = dataset.texts["train"]["caption"]
    for word in WORDS:
        thin, bold = (np.array([f"{kind} {word} " in text for text in texts], bool) for kind in ("thin", "bold"))
        assert image[thin].max() < image[bold].min()
