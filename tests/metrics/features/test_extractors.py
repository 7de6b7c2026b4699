"""Extractors: the numbers of a picture, whatever batch it comes in; weights that fit, or one line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from genjax import data
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.metrics.features import EXTRACTORS, load_extractor
from genjax.metrics.features import networks as extractors
from genjax.metrics.features.base import in_colour, over_network, pixels
from genjax.metrics.features.weights import as_in_pytorch, fitted, read_arrays
from genjax.spec import Image

IMAGE = Image(8, 8, 1)
SHAPES = {
    "stem": {"kernel": jax.ShapeDtypeStruct((3, 3, 2, 5), jnp.float32)},
    "bn": {"mean": jax.ShapeDtypeStruct((5,), jnp.float32)},
}


@functools.cache
def digits():
    loaded = data.load(Data(source="digits"))
    return loaded.validation.gather(np.arange(297))


def test_the_shipped_classifier_reads_digits_it_has_not_seen():
    seen = load_extractor("digits", IMAGE)(digits()["image"])
    assert seen["features"].shape == (297, 64) and seen["features"].dtype == np.float32
    assert (seen["logits"].argmax(1) == digits()["label"]).mean() >= 0.97
    assert extractors.DIGITS.stat().st_size < 500_000


@pytest.mark.parametrize("name", ["digits", "random"])
def test_a_picture_has_the_same_features_in_any_batch(name):
    extractor, image = load_extractor(name, IMAGE), digits()["image"]
    whole = extractor(image)["features"]
    parts = [extractor(part)["features"] for part in (image[:1], image[1:4], image[4:])]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-5)
    assert load_extractor(name, IMAGE).key == extractor.key and whole.std(0).mean() > 0


def test_random_features_are_of_any_picture():
    for image in (IMAGE, Image(5, 7, 3), Image(32, 32, 3)):
        seen = load_extractor("random", image)(np.zeros((2, *image.shape), np.float32))
        assert seen["features"].shape == (2, 512) and "logits" not in seen


def test_pictures_are_rounded_to_eight_bits():
    assert pixels(np.array([-3, -1, 0, 0.999, 1])).tolist() == [0, 0, 128, 255, 255]
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(pixels(levels / np.float32(127.5) - 1), levels)
    with pytest.raises(UserError, match="not finite"):
        pixels(np.array([0, np.nan]))


def test_grey_pictures_are_repeated_for_a_colour_network():
    class Sum:
        def apply(self, variables, x):
            return x.sum((1, 2)), None

    image = np.linspace(-1, 1, 2 * 64).reshape(2, 8, 8, 1)
    options = {"preparation": "", "classes": 0, "jit": jax.jit}
    seen = over_network("sum", Sum(), {}, in_colour, **options)
    assert np.ptp(seen(image)["features"], axis=1).max() == 0
    np.testing.assert_array_equal(seen(image)["features"], seen(image.repeat(3, -1))["features"])


@pytest.mark.parametrize(
    "choice, words",
    [
        ("dino", f"there is no such extractor; there are {', '.join(EXTRACTORS)}"),
        ("inception", "--features inception:FILE needs its weights of 2015-12-05: pt_inception"),
        ("dinov2", "--features dinov2:FILE needs model.safetensors of facebook/dinov2-large"),
        ("clip", "--features clip:FILE needs model.safetensors of openai/clip-vit-large-patch14"),
        ("efficientnet_lite0", "--features efficientnet_lite0:FILE needs its ImageNet weights"),
        ("classifier", "--features classifier:FILE needs weights"),
        ("random:x.npz", "--features random has no weights file"),
    ],
)
def test_a_choice_that_says_too_little_or_too_much(choice, words):
    with pytest.raises(UsageError) as error:
        load_extractor(choice, IMAGE)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_weights_of_another_network_and_other_pictures_are_refused(tmp_path):
    for name in ("inception", "efficientnet_lite0"):
        with pytest.raises(UserError, match=r"digits.safetensors holds no weights of .*, is not there"):
            load_extractor(f"{name}:{extractors.DIGITS}", IMAGE)
    with pytest.raises(UserError, match=r"digits sees pictures of about 8 x 8 x 1, and these are 28 x 28 x 1"):
        load_extractor("digits", Image(28, 28, 1))
    with pytest.raises(UserError, match="8 x 8 x 3"):
        load_extractor("digits", Image(8, 8, 3))
    save_file({"x": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="holds no weights of a Classifier"):
        load_extractor(f"classifier:{tmp_path / 'x.safetensors'}", IMAGE)
    with pytest.raises(UserError, match=r"x\.npz"):
        load_extractor(f"inception:{tmp_path / 'x.npz'}", IMAGE)
    (tmp_path / "torn.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="cannot read weights from"):
        read_arrays(tmp_path / "torn.safetensors")
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(UsageError, match="weights are read from"):
        read_arrays(tmp_path / "x.h5")


def test_arrays_of_pytorch_find_their_places():
    arrays = {"stem.weight": np.arange(90.0).reshape(5, 2, 3, 3), "bn.running_mean": np.ones(5), "more": np.ones(1)}
    named = as_in_pytorch(SHAPES, arrays)
    assert named["stem/kernel"][1, 2, 0, 4] == arrays["stem.weight"][4, 0, 1, 2] and named["bn/mean"].shape == (5,)
    assert fitted(SHAPES, named, "f", "x")["stem"]["kernel"].dtype == np.float32
    with pytest.raises(UserError, match=r"f holds no weights of x: its bn/mean, of shape \(5,\), is \(4,\)"):
        fitted(SHAPES, named | {"bn/mean": np.ones(4)}, "f", "x")


@pytest.mark.peers
def test_code_in_a_file_of_pytorch_does_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pth")
    assert read_arrays(tmp_path / "good.pth")["a"].tolist() == [1, 1]

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="cannot read weights"):
        read_arrays(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
