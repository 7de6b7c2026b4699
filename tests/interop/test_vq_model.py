"""First stages of ids: the numbers of diffusers' VQModel on random weights."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.interop.family import to_ours, to_theirs
from genjax.interop.vq_model import VQ_MODEL
from genjax.models import FSQ, VQVAE, Gumbel, SpatialAutoencoder, VectorQuantizer
from genjax.runs.foreign import export_folder, read_folder
from genjax.runs.initialize import load_weights
from genjax.runs.sources import parse
from genjax.spec import DataSpec, Image

SPEC = DataSpec({"image": Image(16, 24, 3)})
WIDTHS = (128, 256, 128)  # 32 groups in each, a shortcut in most
MODELS = {
    learn: VQVAE(network=SpatialAutoencoder(WIDTHS, blocks=1), quantizer=VectorQuantizer(40, 6, learn=learn)).resolve(
        SPEC
    )
    for learn in ("ema", "gradient")
}


def peer():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    torch.manual_seed(0)
    model = diffusers.VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=WIDTHS,
        latent_channels=6,
        num_vq_embeddings=40,
    ).eval()
    with torch.no_grad():
        model.quantize.embedding.weight.copy_(torch.randn(40, 6))
        for parameter in model.parameters():  # biases and scales that cannot be confused
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def state_of(params, model_state):
    step, nothing = jnp.zeros((), jnp.int32), EMA({}, {}, {})
    return TrainState(step=step, params=params, opt_state={}, ema=nothing, model_state=model_state)


@pytest.mark.peers
@pytest.mark.parametrize("learn", MODELS)
def test_a_folder_of_diffusers_is_read_written_and_loaded_there(learn, tmp_path):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    theirs, model = peer(), MODELS[learn]
    theirs.save_pretrained(tmp_path / "theirs")
    params, state = load_weights(parse(f"hf:{tmp_path / 'theirs'}"), model)
    shapes, wanted = jax.eval_shape(lambda key: model.init(key, SPEC), jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    assert jax.tree.map(np.shape, state) == jax.tree.map(np.shape, wanted)

    image = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    with torch.no_grad():
        latents = theirs.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latents
        _, _, (_, _, ids) = theirs.quantize(latents)
        decoded = theirs.decode(latents).sample.permute(0, 2, 3, 1).numpy()
    batch = {"index": np.arange(2), "image": image}
    z = model.networks()["encoder"].apply({"params": params["encoder"]}, image)
    np.testing.assert_allclose(z, latents.permute(0, 2, 3, 1).numpy(), atol=1e-4)
    code = jax.jit(model.encode)(params, state, batch, jax.random.key(0))
    np.testing.assert_array_equal(code, ids.reshape(2, -1).numpy())
    again = jax.jit(model.decode)(params, state, code, batch)
    np.testing.assert_allclose(again, np.clip(decoded, -1, 1), atol=1e-4)

    export_folder(model, state_of(params, state), tmp_path / "ours", None)
    loaded = diffusers.VQModel.from_pretrained(tmp_path / "ours").state_dict()
    for name, tensor in theirs.state_dict().items():
        if "to_k.bias" not in name:  # it changes nothing, and ours has none
            np.testing.assert_array_equal(loaded[name], tensor)


@pytest.mark.parametrize("learn", MODELS)
def test_what_is_written_is_read_again_bit_by_bit(learn, tmp_path):
    model = dataclasses.replace(MODELS[learn], network=SpatialAutoencoder((32,), blocks=1))
    params, state = model.init(jax.random.key(1), SPEC)
    tensors = to_theirs(VQ_MODEL, model, params | {"state:quantizer": state["quantizer"]}, 0)
    back = to_ours(VQ_MODEL, model, tensors, 0)
    kept = back.pop("state:quantizer")
    jax.tree.map(np.testing.assert_array_equal, back, params)
    assert kept.keys() == state["quantizer"].keys() and (kept["count"] == 1).all()
    if learn == "ema":
        np.testing.assert_array_equal(kept["codebook"], state["quantizer"]["codebook"])
    export_folder(model, state_of(params, state), tmp_path, None)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "VQModel"
    jax.tree.map(np.testing.assert_array_equal, read_folder(tmp_path, model), back | {"state:quantizer": kept})


def test_another_architecture_is_one_line(tmp_path):
    model = dataclasses.replace(MODELS["gradient"], network=SpatialAutoencoder((32,), blocks=1))
    params, state = model.init(jax.random.key(1), SPEC)
    export_folder(model, state_of(params, state), tmp_path, None)
    config = json.loads((tmp_path / "config.json").read_text())

    def refused(line, model=model, **changed):
        (tmp_path / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(UserError, match=line):
            read_folder(tmp_path, model)

    refused("says AutoencoderKL, and a VQVAE is read from VQModel", _class_name="AutoencoderKL")
    refused(r"take --model\.quantizer\.size 12", num_vq_embeddings=12)
    refused("vq_embed_dim is 4, its latent_channels 6", vq_embed_dim=4)
    refused("norm_type is spatial, and genjax has only group", norm_type="spatial")
    refused("down_block_types", down_block_types=["AttnDownEncoderBlock2D"])
    gumbel = dataclasses.replace(model, quantizer=Gumbel(40, 6))
    refused("its codes are those of a VectorQuantizer, and here is a Gumbel", model=gumbel)
    fsq = dataclasses.replace(model, quantizer=FSQ((4, 3)))
    with pytest.raises(UserError, match="VQModel: its codes are those of a VectorQuantizer, and here is a FSQ"):
        export_folder(fsq, state_of(params, state), tmp_path, None)
