"""First stages of Stable Diffusion: the numbers of diffusers' AutoencoderKL on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.interop.autoencoder_kl import AUTOENCODER_KL
from genjax.interop.family import to_ours, to_theirs
from genjax.models import VAE
from genjax.models.diffusion import KL_F8
from genjax.networks import SpatialAutoencoder
from genjax.runs.foreign import export_folder, read_folder
from genjax.spec import DataSpec, Image

pytestmark = pytest.mark.peers
SPEC = DataSpec({"image": Image(16, 24, 3)})
MODEL = VAE(network=SpatialAutoencoder((128, 256, 128), blocks=1), latent=4, likelihood="gaussian").resolve(SPEC)
STYLES = {  # what differs between diffusers' and our configuration: Stable Diffusion 1 and 2, then 3 and Flux
    "sd": (dict(latent_channels=4), dict(latent=4)),
    "sd3": (
        dict(latent_channels=16, use_quant_conv=False, use_post_quant_conv=False),
        dict(latent=16, latent_convs=False),
    ),
}


def peer(**fields):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(128, 256, 128),  # 32 groups in each, a shortcut in most
        layers_per_block=1,
        **fields,
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and scales that cannot be confused
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def weights(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def tensors():
    return weights(peer(latent_channels=4))


@pytest.mark.parametrize("likelihood", ["gaussian", "mse"])
@pytest.mark.parametrize("style", STYLES)
def test_numbers_are_those_of_diffusers(style, likelihood):
    torch = pytest.importorskip("torch")

    theirs, ours = STYLES[style]
    theirs, latent = peer(**theirs), ours["latent"]
    network = SpatialAutoencoder((128, 256, 128), blocks=1, latent_convs=ours.get("latent_convs", True))
    model = VAE(network=network, latent=latent, likelihood=likelihood).resolve(SPEC)
    params = to_ours(AUTOENCODER_KL, model, weights(theirs), 0)
    back = to_theirs(AUTOENCODER_KL, model, params, 0)
    assert back.keys() == weights(theirs).keys()
    for name, value in weights(theirs).items():
        assert "to_k.bias" in name or np.array_equal(back[name], value)
    shapes, _ = jax.eval_shape(lambda key: model.init(key, SPEC), jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)

    random = np.random.default_rng(0)
    image, z = random.uniform(-1, 1, (2, 16, 24, 3)), random.normal(size=(2, 4, 6, latent))
    image, z = image.astype(np.float32), z.astype(np.float32)
    with torch.no_grad():
        posterior = theirs.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latent_dist
        decoded = theirs.decode(torch.from_numpy(z).permute(0, 3, 1, 2)).sample
    mean, log_var = jax.jit(model.posterior)(params, image)
    output, log_sigma = jax.jit(model.pixels)(params, z)
    assert log_sigma == 0
    for ours, peers in ((mean, posterior.mean), (log_var, posterior.logvar), (output, decoded)):
        expected = peers.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


def test_stable_diffusions_own_sizes_are_those_of_kl_f8():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        )
    tensors = {name: np.broadcast_to(np.float32(0), x.shape) for name, x in theirs.state_dict().items()}
    spec = DataSpec({"image": Image(256, 256, 3)})
    model = KL_F8.resolve(spec)
    shapes, _ = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
    assert jax.tree.map(np.shape, to_ours(AUTOENCODER_KL, model, tensors, 0)) == jax.tree.map(np.shape, shapes)


def test_a_missing_tensor_is_named(tensors):
    for name in ("decoder.mid_block.attentions.0.to_out.0.weight", "post_quant_conv.bias"):
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            to_ours(AUTOENCODER_KL, MODEL, {key: value for key, value in tensors.items() if key != name}, 0)


def test_the_attentions_old_names_are_understood(tensors):
    renamed = {}
    for name, value in tensors.items():
        for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
            name = name.replace(new, old)
        renamed[name] = value[:, :, None, None] if "proj_attn.weight" in name else value  # a 1x1 convolution then
    new, old = (to_ours(AUTOENCODER_KL, MODEL, named, 0) for named in (tensors, renamed))
    jax.tree.map(np.testing.assert_array_equal, new, old)


def test_a_folder_of_diffusers_is_read_and_one_of_ours_is_loaded_there(tmp_path):
    diffusers, torch = pytest.importorskip("diffusers"), pytest.importorskip("torch")
    theirs = peer(latent_channels=4)
    theirs.save_pretrained(tmp_path / "theirs")
    params = read_folder(tmp_path / "theirs", MODEL)
    nothing = EMA({}, {}, {})
    state = TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state={}, ema=nothing, model_state={})
    export_folder(MODEL, state, tmp_path / "ours", None)
    again = diffusers.AutoencoderKL.from_pretrained(tmp_path / "ours").eval()
    image = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 24)).astype(np.float32))
    with torch.no_grad():
        first, second = (vae.encode(image).latent_dist.mean for vae in (theirs, again))
    np.testing.assert_allclose(second, first, atol=1e-5)
