"""CUT: its contrast is PyTorch's cross-entropy, and its patches are those of the example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import batch, engine

from genjax.errors import UsageError
from genjax.models import CUT, PatchGAN
from genjax.spec import DataSpec, Image

KEY = jax.random.key(0)


def test_places_are_different_and_belong_to_the_example():
    model, features = CUT(patches=6), [jnp.zeros((3, 4, 5, 2)), jnp.zeros((3, 2, 2, 7))]
    places = model._places(KEY, jnp.arange(3), features)
    assert [place.shape for place in places] == [(3, 6), (3, 4)]
    for place, count in zip(places, (20, 4)):
        assert all(len(set(row)) == len(row) for row in np.asarray(place).tolist()) and place.max() < count
    again = model._places(KEY, jnp.arange(3)[::-1], features)
    np.testing.assert_array_equal(again[0][::-1], places[0])
    assert not np.array_equal(places[0][0], places[0][1])


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(UsageError, match="patches must be at least 2"):
        CUT(patches=1)
    with pytest.raises(UsageError, match="domains of one size"):
        CUT().resolve(DataSpec({"image_a": Image(32, 32, 3), "image_b": Image(32, 32, 1)}))
    with pytest.raises(UsageError, match="more than 16 pixels a side"):
        CUT().resolve(DataSpec({"image_a": Image(16, 16, 3), "image_b": Image(16, 16, 3)}))
    assert CUT(discriminator=PatchGAN(layers=2), shape=(16, 16, 3)).expects()["image_b"] == Image(16, 16, 3)


@pytest.mark.peers
def test_the_contrast_is_torchs_cross_entropy():
    """Patch by patch, as equations 2 to 4 are written."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    built = engine("cut")
    model, state, data = built.model, jax.device_get(built.init()), batch("cut")
    generator, heads = model.networks()["generator"], model.networks()["heads"]

    def encode(x):
        return generator.apply({"params": state.params["generator"]}, x, train=True, features=True)

    x = data["image_a"]
    fake, given = encode(x)
    _, made = encode(fake)
    ours = model.patch_nce(state.params, KEY, data["index"], made, given)
    places = model._places(KEY, data["index"], given)
    made, given = (heads.apply({"params": state.params["heads"]}, part, places) for part in (made, given))
    assert len(ours) == 3
    for nce_BS, query_BSD, key_BSD in zip(ours, made, given):
        query, key = (torch.from_numpy(np.array(part)) for part in (query_BSD, key_BSD))
        assert query.norm(dim=-1).max() < 1 + 1e-5 and key.norm(dim=-1).max() < 1 + 1e-5
        for b, s in np.ndindex(*nce_BS.shape):
            logits = torch.stack([query[b, s] @ other / model.temperature for other in key[b]])
            wanted = functional.cross_entropy(logits[None], torch.tensor([s])).item()
            assert nce_BS[b, s] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
