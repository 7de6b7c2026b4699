"""The KL autoencoder against diffusers', and its size against the published one."""

import jax
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.interop.autoencoder_kl import from_diffusers
from genjax.models import VAE, DataSpec
from genjax.networks.spatial_autoencoder import groups_of
from genjax.recipes import load_experiment

KEY_BIASES = 2 * 512  # the two attentions of AutoencoderKL have them, ours do without


def test_the_first_stage_of_stable_diffusion_has_its_published_size():
    spec = DataSpec(image_shape=(256, 256, 3))
    model = load_experiment("kl_f8").model.resolve(spec)
    params, _ = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
    params["decoder"].pop("log_sigma")
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 83_653_863 - KEY_BIASES
    assert model.latent_shape == (32, 32, 4)


def test_groups_divide_the_width_and_are_the_papers_from_128_on():
    assert all(width % groups_of(width) == 0 for width in range(1, 600))
    assert {groups_of(width) for width in (128, 256, 512)} == {32}
    assert (groups_of(64), groups_of(16), groups_of(3)) == (16, 4, 1)


@pytest.fixture(scope="module")
def theirs():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    torch.manual_seed(0)
    peer = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(128, 256, 128),  # 32 groups in each, a shortcut in most
        layers_per_block=1,
        latent_channels=4,
    ).eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # biases and scales that cannot be confused
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return peer


@pytest.mark.peers
def test_numbers_are_those_of_diffusers(theirs):
    import torch

    spec = DataSpec(image_shape=(16, 24, 3))
    model = VAE(network="spatial", widths=(128, 256, 128), blocks=1, latent=4, likelihood="mse").resolve(spec)
    params = from_diffusers({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    shapes, _ = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)

    random = np.random.default_rng(0)
    image, z = random.uniform(-1, 1, (2, 16, 24, 3)), random.normal(size=(2, 4, 6, 4))
    image, z = image.astype(np.float32), z.astype(np.float32)
    with torch.no_grad():
        posterior = theirs.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latent_dist
        decoded = theirs.decode(torch.from_numpy(z).permute(0, 3, 1, 2)).sample
    mean, log_var = jax.jit(model.encode)(params, image)
    output, _ = jax.jit(model.decode)(params, z)
    for ours, peers in ((mean, posterior.mean), (log_var, posterior.logvar), (output, decoded)):
        expected = peers.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


@pytest.mark.peers
def test_a_missing_tensor_is_named(theirs):
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    del tensors["decoder.mid_block.attentions.0.to_out.0.weight"]
    with pytest.raises(UserError, match=r"decoder\.mid_block\.attentions\.0\.to_out\.0\.weight"):
        from_diffusers(tensors)


@pytest.mark.peers
def test_the_attentions_old_names_are_understood(theirs):
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    renamed = {}
    for name, value in tensors.items():
        for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
            name = name.replace(new, old)
        renamed[name] = value[:, :, None, None] if "proj_attn.weight" in name else value  # a 1x1 convolution then
    jax.tree.map(np.testing.assert_array_equal, from_diffusers(tensors), from_diffusers(renamed))
