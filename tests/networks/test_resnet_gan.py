"""Residual GAN networks: against an independent implementation in PyTorch, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models import GAN, ResNetGAN
from genjax.spec import DataSpec, Image, Label

SNGAN = ResNetGAN((16, 16, 8, 8), (8, 8, 16), halvings=2)
BIGGAN = ResNetGAN((16, 16, 8, 8), (8, 8, 16), 2, attention=(8,), shared=4, hierarchical=True, init="orthogonal")
SPEC = DataSpec({"image": Image(16, 16, 3), "label": Label(3)}, 100)
LABEL = jnp.arange(6) % 3
KEY = jax.random.key(0)


def built(config: ResNetGAN, **kwargs):
    """A model, and random parameters everywhere: no gain stays at 0."""
    model = GAN(network=config, latent=8, conditional=True, **kwargs).resolve(SPEC)
    params, state = model.init(KEY, SPEC)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)]
    return model, jax.tree.unflatten(structure, leaves), state


def test_recipes_have_as_many_parameters_as_the_authors_networks():
    """The numbers of StudioGAN's logs of SNGAN (2020-09-18) and BigGAN (2021-01-15) on CIFAR-10, less idle biases."""
    from genjax.recipes import load_experiment

    spec = DataSpec({"image": Image(32, 32, 3), "label": Label(10)}, 100)
    for name, expected in {"sngan_cifar10": (4304387, 1055105), "biggan_cifar10": (9416196, 2415170)}.items():
        model = load_experiment(name).model.resolve(spec)
        params, _ = jax.eval_shape(lambda model=model: model.init(KEY, spec))
        sizes = {entry: sum(x.size for x in jax.tree.leaves(tree)) for entry, tree in params.items()}
        idle = 3 * sum(model.network.generator_widths[1:])  # two convolutions and a skip a block, before batch norms
        assert (sizes["generator"] + idle, sizes["discriminator"]) == expected


def test_first_weights_are_orthogonal_or_glorots_and_labels_change_nothing_at_first():
    model = GAN(network=BIGGAN, latent=8, conditional=True).resolve(SPEC)
    for entry in model.init(KEY, SPEC)[0].values():
        for kernel in (x.reshape(-1, x.shape[-1]) for x in jax.tree.leaves(entry) if x.ndim > 1):
            gram = kernel.T @ kernel if kernel.shape[0] >= kernel.shape[1] else kernel @ kernel.T
            np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
    model = GAN(network=SNGAN, latent=8, conditional=True).resolve(SPEC)
    params, state = model.init(KEY, SPEC)
    limit = {"conv_0_1": (12 / (9 * 32)) ** 0.5, "skip_0": (6 / 32) ** 0.5}
    for name, bound in limit.items():
        assert 0.9 * bound < jnp.abs(params["generator"][name]["kernel"]).max() <= bound
    conditions = {"index": jnp.arange(2), "label": jnp.array([0, 0])}
    image = model.sample(params, state, KEY, conditions, model.Options())["image"]
    other = model.sample(params, state, KEY, conditions | {"label": jnp.array([1, 2])}, model.Options())["image"]
    np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize("config", [SNGAN, BIGGAN])
def test_samples_follow_their_label_and_their_latent(config):
    model, params, state = built(config, generator_spectral_norm=True)
    conditions = {"index": jnp.arange(2), "label": jnp.array([0, 1])}
    image = model.sample(params, state, KEY, conditions, model.Options())["image"]
    other = model.sample(params, state, KEY, conditions | {"label": jnp.array([2, 1])}, model.Options())["image"]
    assert image.shape == (2, 16, 16, 3) and jnp.abs(image).max() <= 1 and jnp.abs(image[0] - image[1]).max() > 1e-3
    assert jnp.abs(image[0] - other[0]).max() > 1e-3
    np.testing.assert_allclose(image[1], other[1], atol=1e-6)


def test_spectral_norms_are_of_kernels_and_not_of_the_generators_embedding():
    model, params, state = built(BIGGAN, spectral_norm=True, generator_spectral_norm=True)
    assert "shared.embedding" not in state["generator"]["spectral"]
    assert "embed.embedding" in state["discriminator"]["spectral"]
    normalize = jax.jit(model._normalized)
    for _ in range(100):
        weights, state = normalize(params, state)
    for entry, vectors in (("generator", 27), ("discriminator", 15)):
        assert len(state[entry]["spectral"]) == vectors
        for path, vector in state[entry]["spectral"].items():
            kernel = weights[entry]
            for name in path.split("."):
                kernel = kernel[name]
            kernel = kernel.reshape(-1, vector.size)
            assert np.linalg.svd(kernel, compute_uv=False)[0] == pytest.approx(1.0, abs=2e-3)


def test_what_does_not_fit_says_so():
    for wrong, message in (
        (dict(generator_widths=(8,)), "generator_widths has one for the grid and the blocks"),
        (dict(discriminator_widths=(8, 0)), "widths are positive"),
        (dict(discriminator_widths=()), "halvings is 0 to 0"),
        (dict(halvings=5), "halvings is 0 to 4, not 5"),
        (dict(shared=-1), "shared must not be negative"),
    ):
        with pytest.raises(UsageError, match=message):
            ResNetGAN(**wrong)
    with pytest.raises(UsageError, match="3 blocks make images of a multiple of 8 pixels, not of 28x28"):
        GAN(network=SNGAN).resolve(DataSpec({"image": Image(28, 28, 1)}))
    with pytest.raises(UsageError, match=r"attention at heights \[5\]: .* the heights \[8, 4\]"):
        GAN(network=ResNetGAN((8,) * 4, (8,) * 3, attention=(5, 8))).resolve(SPEC)
    with pytest.raises(UsageError, match=r"a latent of 9 numbers is not 4 equal pieces: change model\.latent"):
        GAN(network=BIGGAN, latent=9).resolve(SPEC).init(KEY, SPEC)


# An independent implementation in PyTorch, NCHW, in the order of operations of the authors' code.


def torch_networks(config: ResNetGAN):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional

    def tensor(x):
        return torch.tensor(np.array(x))

    def conv(p, x, padding=1):
        kernel = tensor(p["kernel"])
        kernel = kernel[None, None] if kernel.ndim == 2 else kernel
        bias = tensor(p["bias"]) if "bias" in p else None
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=padding)

    def norm(p, x, condition):
        if condition is None:
            p = next(iter(p.values())) if "scale" not in p else p
            p = p.get("batch", p)
            return F.batch_norm(x, None, None, tensor(p["scale"]), tensor(p["bias"]), training=True)
        x = F.batch_norm(x, None, None, training=True)
        key = "embedding" if condition.dtype == torch.int64 else "kernel"
        gain, bias = (
            F.embedding(condition, tensor(p[n][key])) if key == "embedding" else condition @ tensor(p[n][key])
            for n in ("gain", "bias")
        )
        return x * (1 + gain[:, :, None, None]) + bias[:, :, None, None]

    def attend(p, x):
        b, _, h, w = x.shape
        q = conv(p["query"], x, 0).flatten(2)
        k, v = (F.max_pool2d(conv(p[n], x, 0), 2).flatten(2) for n in ("key", "value"))
        weights = torch.softmax(q.transpose(1, 2) @ k, -1)
        return x + tensor(p["gamma"]) * conv(p["out"], (v @ weights.transpose(1, 2)).reshape(b, -1, h, w), 0)

    def generator(p, z, label):
        blocks = config.blocks
        conditions = [label] * blocks
        if config.shared:
            label = tensor(p["shared"]["embedding"])[label]
        if config.hierarchical:
            z, *pieces = z.chunk(blocks + 1, 1)
            conditions = [torch.cat([label, piece], 1) for piece in pieces]
        x = z @ tensor(p["grid"]["kernel"]) + tensor(p["grid"]["bias"])
        x = x.reshape(len(x), 2, 2, -1).permute(0, 3, 1, 2)
        for i, condition in enumerate(conditions):
            h = F.interpolate(torch.relu(norm(p[f"norm_{i}_1"], x, condition)), scale_factor=2)
            h = conv(p[f"conv_{i}_1"], h)
            h = conv(p[f"conv_{i}_2"], torch.relu(norm(p[f"norm_{i}_2"], h, condition)))
            x = h + conv(p[f"skip_{i}"], F.interpolate(x, scale_factor=2), 0)
            x = attend(p[f"attention_{i}"], x) if f"attention_{i}" in p else x
        return torch.tanh(conv(p["image"], torch.relu(norm(p["norm"], x, None))))

    def discriminator(p, x, label):
        for i in range(len(config.discriminator_widths)):
            h = conv(p[f"conv_{i}_1"], torch.relu(x) if i else x)
            h = conv(p[f"conv_{i}_2"], torch.relu(h))
            skip = conv(p[f"skip_{i}"], x, 0) if f"skip_{i}" in p else x
            x = F.avg_pool2d(h, 2) + F.avg_pool2d(skip, 2) if i < config.halvings else h + skip
            x = attend(p[f"attention_{i}"], x) if f"attention_{i}" in p else x
        h = torch.relu(x).sum((2, 3))
        logit = h @ tensor(p["logit"]["kernel"]) + tensor(p["logit"]["bias"])
        return logit[:, 0] + (tensor(p["embed"]["embedding"])[label] * h).sum(1)

    return torch, generator, discriminator


@pytest.mark.peers
@pytest.mark.parametrize("config", [SNGAN, BIGGAN])
def test_networks_on_random_weights_are_those_of_torch(config):
    torch, generator, discriminator = torch_networks(config)
    model, params, state = built(config)
    z, image = jax.random.normal(KEY, (6, 8)), jax.random.uniform(KEY, (6, 16, 16, 3), minval=-1)
    label = torch.tensor(np.array(LABEL), dtype=torch.int64)
    ours, _ = model._generate(params, state, z, LABEL, train=True)
    theirs = generator(params["generator"], torch.tensor(np.array(z)), label)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)
    ours, _ = model._judge(params, state, image, LABEL, train=True)
    theirs = discriminator(params["discriminator"], torch.tensor(np.array(image)).permute(0, 3, 1, 2), label)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
