"""Inception as FID has it and EfficientNet-Lite0, against PyTorch on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from metrics import fidelity

from genjax.metrics.features.weights import as_in_pytorch, fitted
from genjax.networks.efficientnet import STAGES, EfficientNetLite0
from genjax.networks.inception import Inception, resize_as_tensorflow_1


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Of a state dict: activations keep about their size."""
    rng, arrays = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        x = rng.standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            arrays[name] = x * np.sqrt(2 / np.prod(shape[1:])).astype(np.float32)
        elif name.endswith(("running_var", ".weight")):
            arrays[name] = 1 + 0.2 * np.abs(x)
        else:
            arrays[name] = 0.1 * x
    return arrays


def shapes_of(network, side):
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))["params"]


def close(ours, theirs):
    theirs = theirs.numpy()
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=1e-4 * np.abs(theirs).max(), rtol=0)


@pytest.mark.peers
def test_inception_is_that_of_torch_fidelity_layer_by_layer(tmp_path):
    torch, theirs = pytest.importorskip("torch"), fidelity.module("feature_extractor_inceptionv3")
    names = ["64", "192", "768", "2048", "logits_unbiased"]
    file = tmp_path / "weights.pth"

    class Shapes(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            arrays = random_weights({name: tuple(x.shape) for name, x in self.state_dict().items() if x.ndim})
            torch.save({name: torch.tensor(x) for name, x in arrays.items()}, file)
            return super().load_state_dict(torch.load(file), strict=False)

    torch.save({}, file)
    model = Shapes("inception", names, feature_extractor_weights_path=str(file))
    image = np.random.default_rng(1).integers(0, 256, (2, 24, 37, 3), np.uint8)
    with torch.no_grad():
        expected = dict(zip(names, model(torch.tensor(image).permute(0, 3, 1, 2))))
    arrays = {name: x.numpy() for name, x in torch.load(file, weights_only=True).items()}
    network = Inception()
    shapes = shapes_of(network, 299)
    params = fitted(shapes, as_in_pytorch(shapes, arrays), file, "Inception")
    x = (resize_as_tensorflow_1(jnp.float32(image)) - 128) / 128
    features, logits, means = network.apply({"params": params}, x, inner=True)
    for name in ("64", "192", "768"):
        close(means[name], expected[name])
    close(features, expected["2048"])
    close(logits, expected["logits_unbiased"])


@pytest.mark.peers
def test_pictures_are_resized_as_by_tensorflow_1():
    torch, theirs = pytest.importorskip("torch"), fidelity.module("interpolate_compat_tensorflow")
    for side in (8, 32, 400):
        x = np.random.default_rng(side).uniform(0, 255, (1, side, side + 3, 3)).astype(np.float32)
        resize = theirs.interpolate_bilinear_2d_like_tensorflow1x
        expected = resize(torch.tensor(x).permute(0, 3, 1, 2), size=(299, 299), align_corners=False)
        np.testing.assert_allclose(resize_as_tensorflow_1(x), expected.permute(0, 2, 3, 1), atol=1e-3)


@pytest.mark.peers
def test_efficientnet_is_its_layers_in_pytorch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    network = EfficientNetLite0()
    shapes = shapes_of(network, 64)
    flat = {".".join(path): leaf.shape for path, leaf in flatten_dict(shapes).items()}
    words = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}
    state = {}
    for name, shape in flat.items():
        stem, _, last = name.rpartition(".")
        state[f"{stem}.{words[last]}"] = tuple(shape[i] for i in (3, 2, 0, 1)) if len(shape) == 4 else shape[::-1]
    arrays = random_weights(state)
    w = {name: torch.tensor(x) for name, x in arrays.items()}

    def conv(x, name, stride=1, groups=1):
        kernel, side = w[f"{name}.weight"], x.shape[-1]
        pad = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)
        x = functional.pad(x, (pad // 2, pad - pad // 2) * 2)
        return functional.conv2d(x, kernel, stride=stride, groups=groups)

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(w[f"{name}.{part}"] for part in names), eps=1e-3)

    image = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    x = torch.tensor(image).permute(0, 3, 1, 2)
    x, number = functional.relu6(norm(conv(x, "_conv_stem", 2), "_bn0")), 0
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            block, y = f"_blocks.{number}.", x
            if expansion > 1:
                y = functional.relu6(norm(conv(y, f"{block}_expand_conv"), f"{block}_bn0"))
            y = conv(y, f"{block}_depthwise_conv", 1 if repeat else stride, y.shape[1])
            y = functional.relu6(norm(y, f"{block}_bn1"))
            y = norm(conv(y, f"{block}_project_conv"), f"{block}_bn2")
            x, number = x + y if x.shape == y.shape else y, number + 1
    features = functional.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    logits = features @ w["_fc.weight"].T + w["_fc.bias"]
    params = fitted(shapes, as_in_pytorch(shapes, arrays), "f", "EfficientNet")
    ours = network.apply({"params": params}, image)
    close(ours[0], features)
    close(ours[1], logits)
