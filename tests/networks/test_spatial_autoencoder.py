"""The KL autoencoder's size against the published one; its numbers: tests/interop/test_autoencoder_kl.py."""

import jax
import pytest

from genjax.errors import UsageError, UserError
from genjax.models import VAE
from genjax.networks import ConvAutoencoder, DenseAutoencoder, SpatialAutoencoder
from genjax.networks.spatial_autoencoder import groups_of
from genjax.recipes import load_experiment
from genjax.spec import DataSpec, Image

KEY_BIASES = 2 * 512  # the two attentions of AutoencoderKL have them, ours do without


def test_the_first_stage_of_stable_diffusion_has_its_published_size():
    spec = DataSpec({"image": Image(256, 256, 3)})
    model = load_experiment("kl_f8").model.resolve(spec)
    params, _ = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
    stage = {name: params[name] for name in ("encoder", "decoder")}
    assert sum(leaf.size for leaf in jax.tree.leaves(stage)) == 83_653_863 - KEY_BIASES
    assert model.latent_shape == (32, 32, 4)


def test_groups_divide_the_width_and_are_the_papers_from_128_on():
    assert all(width % groups_of(width) == 0 for width in range(1, 600))
    assert {groups_of(width) for width in (128, 256, 512)} == {32}
    assert (groups_of(64), groups_of(16), groups_of(3)) == (16, 4, 1)


def test_the_convolutions_beside_the_latent_can_be_left_out():
    spec = DataSpec({"image": Image(16, 16, 3)})

    def params(latent_convs):
        model = VAE(network=SpatialAutoencoder((4, 8), 1, latent_convs), latent=2).resolve(spec)
        return jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))[0]

    whole, without = params(True), params(False)
    assert whole["encoder"].pop("quantize") and whole["decoder"]["network"].pop("dequantize")
    assert jax.tree.structure(whole) == jax.tree.structure(without)


def test_widths_and_sides_that_build_nothing_are_refused():
    for network in (DenseAutoencoder, ConvAutoencoder, SpatialAutoencoder):
        for widths in ((), (8, 0)):
            with pytest.raises(UsageError, match=f"{network.__name__}: widths"):
                network(widths)
    with pytest.raises(UsageError, match="SpatialAutoencoder: blocks 0"):
        SpatialAutoencoder(blocks=0)
    with pytest.raises(UserError, match="divide the image's sides by 8, which does not go into 20x16"):
        SpatialAutoencoder().latent_shape((20, 16, 3), 4)
