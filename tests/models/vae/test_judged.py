"""VQGAN's terms: the formulas of its code by PyTorch's autograd, and what they refuse."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.metrics.features import extractor_weights
from genjax.models import FSQ, VAE, VQVAE, Adversarial, ConvAutoencoder, PatchGAN, Perceptual, SpatialAutoencoder
from genjax.networks.perceptual import PerceptualDistance
from genjax.spec import DataSpec, Image

SPEC = DataSpec({"image": Image(8, 12, 1)})
NETWORK, KEY = SpatialAutoencoder((4, 8), blocks=1), jax.random.key(0)
TERMS = {
    "perceptual": Perceptual("classifier", (4, 6)),
    "adversarial": Adversarial(PatchGAN(6, 1, "batch"), weight=0.8),
}
VQ = VQVAE(network=NETWORK, quantizer=FSQ((4, 3)), pixel_error="l1", **TERMS).resolve(SPEC)
KL = VAE(network=NETWORK, latent=2, likelihood="l1", beta=1e-6, iwae_samples=1, **TERMS).resolve(SPEC)
STAGES = {"reconstruct": VQ, "elbo": KL}


@functools.cache
def made(turn):
    model = STAGES[turn]
    params, state = jax.jit(lambda key: model.init(key, SPEC))(KEY)
    return model, params, state


def batch(rows=3):
    image = np.random.default_rng(0).uniform(-1, 1, (rows, 8, 12, 1)).astype(np.float32)
    return {"index": np.arange(rows, dtype=np.int32), "image": image}


def before_last_layer(turn):
    """What the decoder's last convolution reads, and what it puts out."""
    model, params, state = made(turn)
    if turn == "reconstruct":
        code = model.quantized(params, state, batch(), KEY, step=5, train=True).code
        decoder, own = model.networks()["decoder"], params["decoder"]
    else:
        code = model.drawn(params, batch(), KEY)[1]
        decoder, own = model.networks()["decoder"].network, params["decoder"]["network"]
    out, seen = decoder.apply({"params": own}, code, capture_intermediates=True)
    return np.asarray(jax.nn.silu(seen["intermediates"]["norm_out"]["__call__"][0])), np.asarray(out), own["conv_out"]


def in_torch(tree):
    """Kernels (h, w, in, out) as PyTorch's (out, in, h, w), and biases, which learn."""
    import torch

    turned = jax.tree.map(lambda x: np.asarray(x).transpose(3, 2, 0, 1) if x.ndim == 4 else np.asarray(x), tree)
    return jax.tree.map(lambda x: torch.tensor(np.ascontiguousarray(x), requires_grad=True), turned)


def judged_in_torch(image, d):
    """The discriminator PatchGAN(6, 1): logits of pictures (B, C, H, W)."""
    from torch.nn import functional as F

    b, c, h, w = image.shape  # 4x4 kernels of stride 2 are stored as 2x2 kernels of 2x2 pixels
    pairs = F.pad(image, (1, 1, 1, 1)).reshape(b, c, h // 2 + 1, 2, w // 2 + 1, 2).permute(0, 3, 5, 1, 2, 4)
    first = d["conv_0"]["Conv_0"]
    x = F.leaky_relu(F.conv2d(pairs.reshape(b, 4 * c, h // 2 + 1, w // 2 + 1), first["kernel"], first["bias"]), 0.2)
    x = F.leaky_relu(F.batch_norm(F.conv2d(x, d["conv_1"]["kernel"], None, 1, 1), None, None, training=True), 0.2)
    return F.conv2d(x, d["logits"]["kernel"], d["logits"]["bias"], 1, 1)


@pytest.mark.peers
@pytest.mark.parametrize("turn", STAGES)
def test_weight_loss_and_gradients_are_those_of_autograd(turn):
    """Of absolute errors alone, whose other summand, a distance of layers, is Flax's own."""
    torch = pytest.importorskip("torch")
    model, params, _ = made(turn)
    hidden, _, last = before_last_layer(turn)
    last, judge = in_torch(last), in_torch(params["discriminator"])
    image, hidden = (
        torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))) for x in (batch()["image"], hidden)
    )
    remade = torch.nn.functional.conv2d(hidden, last["kernel"], last["bias"], 1, 1)
    errors = (image - remade).abs()
    nll = errors.mean() if turn == "reconstruct" else errors.sum() / len(image)
    fooled = -judged_in_torch(remade, judge).mean()
    of_nll, of_fooled = (torch.autograd.grad(x, last["kernel"], retain_graph=True)[0] for x in (nll, fooled))
    weight = torch.clamp(torch.norm(of_nll) / (torch.norm(of_fooled) + 1e-4), 0.0, 1e4).detach()

    plain = dataclasses.replace(model, perceptual=None)
    state = made(turn)[2] | {"adaptive": {"weight": jnp.float32(weight)}}

    def loss(params, played):
        out = plain.loss(played, params, state, batch(), KEY, step=jnp.int32(5), train=True)
        return out.loss, out

    grads, out = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, turn)
    new = plain.update(turn, params, out.state, out.sums, out.rows, step=5)[1]
    np.testing.assert_allclose(new["adaptive"]["weight"], weight, rtol=1e-4)
    np.testing.assert_allclose(out.terms["adversarial"].value, 0.8 * float((weight * fooled).detach()), rtol=1e-4)
    (nll + 0.8 * weight * fooled).backward()
    ours = grads["decoder"] if turn == "reconstruct" else grads["decoder"]["network"]
    theirs = last["kernel"].grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(ours["conv_out"]["kernel"], theirs, atol=1e-4 * np.abs(theirs).max())

    on_real, on_made = judged_in_torch(image, judge), judged_in_torch(remade.detach(), judge)
    hinge = 0.5 * (torch.relu(1 - on_real).mean() + torch.relu(1 + on_made).mean())
    for tensor in jax.tree.leaves(judge):
        tensor.grad = None
    hinge.backward()
    grads, out = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, "discriminate")
    np.testing.assert_allclose(out.loss, float(hinge), rtol=1e-5)
    theirs = judge["conv_0"]["Conv_0"]["kernel"].grad.numpy().transpose(2, 3, 1, 0)
    ours = grads["discriminator"]["conv_0"]["Conv_0"]["kernel"]
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(grads["decoder"])) == 0


@pytest.mark.parametrize("turn", STAGES)
def test_reconstructions_are_judged_from_the_start_on(turn):
    model, _, _ = made(turn)
    late = dataclasses.replace(model, adversarial=Adversarial(PatchGAN(6, 1, "batch"), start=9))
    assert [(t.name, t.trains, t.start) for t in late.turns[1:]] == [("discriminate", ("discriminator",), 9)]
    assert "perceptual" not in {entry for t in late.turns for entry in t.trains}
    _, params, state = made(turn)
    state = state | {"adaptive": {"weight": jnp.float32(2)}}
    for step, on in ((8, False), (9, True)):
        out = late.loss(turn, params, state, batch(), KEY, step=jnp.int32(step), train=True)
        assert (float(out.terms["adversarial"].scale) > 0) == on and out.sums["adaptive"]["rows"] == 3


def test_every_pixel_value_counts_the_distance_of_a_kl_stage():
    _, params, state = made("elbo")
    out = KL.loss("elbo", params, state, batch(), KEY, step=jnp.int32(5), train=True)
    distance = KL.evaluate(params, state, batch(), KEY)["perceptual"].value
    assert 0.3 < out.terms["perceptual"].value / (96 * distance) < 3  # of another draw of z


def test_the_distance_is_that_of_unit_vectors_of_the_networks_layers():
    module = PerceptualDistance(Perceptual("classifier", (4, 6)))
    x, y = np.random.default_rng(1).uniform(-1, 1, (2, 3, 8, 12, 1)).astype(np.float32)
    params = module.init(KEY, x, y)["params"]
    assert {name for name in params} == {f"Conv_{i}" for i in range(4)}  # no head

    def layers(x):
        found = []
        for i in range(4):
            conv = params[f"Conv_{i}"]
            x = jax.lax.conv_general_dilated(
                x, conv["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = np.maximum(x + conv["bias"], 0)
            if i % 2:
                found.append(np.asarray(x))
                x = x.reshape(3, x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
        return found

    unit = [[layer / np.sqrt((layer**2).sum(-1, keepdims=True) + 1e-10) for layer in layers(z)] for z in (x, y)]
    expected = sum(((a - b) ** 2).sum(-1).mean((1, 2)) for a, b in zip(*unit))
    np.testing.assert_allclose(module.apply({"params": params}, x, y), expected, rtol=1e-5)
    grad = jax.grad(lambda z: module.apply({"params": params}, x, z).sum())(x)
    assert np.isfinite(grad).all() and np.abs(module.apply({"params": params}, x, x)).max() < 1e-6


def test_the_shipped_digits_are_eyes_for_pictures_of_any_size():
    module, x = PerceptualDistance(Perceptual("classifier")), jnp.ones((1, 8, 24, 1))
    shapes = jax.eval_shape(module.init, KEY, x, x)["params"]
    params = extractor_weights("digits", None, shapes)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    assert module.apply({"params": params}, x, -x) > 0.1
    with pytest.raises(UsageError, match="efficientnet_lite0:FILE needs its ImageNet weights"):
        extractor_weights("efficientnet_lite0", None, shapes)
    with pytest.raises(UsageError, match="features:clip: there is no such extractor with layers; there are digits"):
        extractor_weights("clip", None, shapes)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(UsageError, match=r"not logits: take --model\.likelihood l1"):
        VAE(network=NETWORK, **TERMS)
    with pytest.raises(UsageError, match="weighed in a SpatialAutoencoder, not ConvAutoencoder"):
        VAE(network=ConvAutoencoder((4,)), likelihood="l1", **TERMS).resolve(SPEC)
    with pytest.raises(UsageError, match="a PatchGAN of 3 layers needs pictures of more than 16 pixels"):
        dataclasses.replace(VQ, adversarial=Adversarial()).resolve(SPEC)
    with pytest.raises(UsageError, match="efficientnet_lite0 sees pictures from 32 pixels a side on, not 8 x 12"):
        dataclasses.replace(VQ, perceptual=Perceptual()).resolve(SPEC)
    with pytest.raises(UsageError, match="must not be negative"):
        Adversarial(weight=-1.0)
