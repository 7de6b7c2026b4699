"""ADA and DiffAugment: identity at p = 0, noise of the example's own, colours and bands by hand, and p's control."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models import ADA, GAN, MLPGAN, DiffAugment, RampedAugment
from genjax.models.gan import augment_pipeline as pipeline
from genjax.nn import noise
from genjax.spec import DataSpec, Image

KEY = jax.random.key(0)
INDEX = jnp.arange(6)
IMAGE = jax.random.uniform(KEY, (6, 8, 8, 3), minval=-1, maxval=1)
ALL = ADA(tuple(pipeline.PARTS))


def at(p):
    return {"augment": {"p": jnp.float32(p)}}["augment"]


@pytest.mark.parametrize("part", pipeline.PARTS)
def test_nothing_changes_at_p_0_and_something_at_p_1(part):
    ada = jax.jit(ADA((part,)))
    np.testing.assert_allclose(ada(at(0), IMAGE, KEY, INDEX), IMAGE, atol=1e-5)
    assert float(jnp.abs(ada(at(1), IMAGE, KEY, INDEX) - IMAGE).max()) > 0.1


@pytest.mark.parametrize("augment", [ALL, DiffAugment()], ids=["ADA", "DiffAugment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_has_its_own_noise_whatever_stands_beside_it(augment, channels):
    image, whole = IMAGE[..., :channels], jax.jit(augment)
    together = whole(at(1), image, KEY, INDEX)
    rows = np.array([4, 2, 3, 3, 3, 3])
    apart = whole(at(1), image[rows], KEY, INDEX[rows])
    np.testing.assert_allclose(together[rows], apart, atol=1e-5)
    same = whole(at(1), image[:1].repeat(6, 0), KEY, INDEX)
    assert all(jnp.abs(same[0] - row).max() > 1e-3 for row in same[1:])


def test_the_gradient_passes_through_to_the_image():
    gradient = jax.jit(jax.grad(lambda x: (ALL(at(1), x, KEY, INDEX) ** 2).sum()))(IMAGE)
    assert np.isfinite(gradient).all() and (jnp.abs(gradient).max((1, 2, 3)) > 0).all()


def test_blitting_moves_whole_pixels():
    out = jax.jit(pipeline.blit)(IMAGE, noise.example_keys(KEY, INDEX), 1.0)
    assert np.isin(np.asarray(out).ravel(), np.asarray(IMAGE).ravel()).all()


def test_bands_add_up_to_the_image_and_the_lowest_keeps_a_constant():
    bands = pipeline._bands(16)
    np.testing.assert_allclose(bands.sum(0), np.eye(16), atol=1e-5)
    np.testing.assert_allclose(bands.sum(2), [[1] * 16] + [[0] * 16] * 3, atol=1e-5)


def test_hue_turns_colours_around_grey():
    turned = pipeline._around_luma(jnp.float32([2 * np.pi / 3]))[0]
    np.testing.assert_allclose(turned @ jnp.float32([1, 0, 0, 1]), [0, 1, 0, 1], atol=1e-6)  # red becomes green
    np.testing.assert_allclose(turned @ jnp.float32([0.5, 0.5, 0.5, 1]), [0.5, 0.5, 0.5, 1], atol=1e-6)


def test_p_moves_every_fourth_step_towards_the_target():
    ada, state = ADA(images=1000), ADA(images=1000).init()
    for step, sign in enumerate([1.0] * 8 + [0.0] * 4):
        state = ada.update(state, {"sign": jnp.float32(10 * sign), "images": jnp.float32(10)}, jnp.int32(step))
        expected = [0.04, 0.08, 0.04][step // 4] if step % 4 == 3 else None
        assert expected is None or float(state["p"]) == pytest.approx(expected)


def test_a_ramp_ends_at_its_final_p():
    ramp = RampedAugment(final=0.5, steps=10)
    p = [float(ramp.update({}, {}, jnp.int32(step))["p"]) for step in (-1, 4, 9, 20)]
    np.testing.assert_allclose(p, [0, 0.25, 0.5, 0.5], atol=1e-6)


def test_impossible_augmentations_are_refused():
    for kind in (ADA, DiffAugment):
        with pytest.raises(UsageError, match="no part 'rotation'"):
            kind(parts=("rotation",))
    with pytest.raises(UsageError, match="sign of a logit"):
        GAN(network=MLPGAN(discriminator_norm="none"), objective="wasserstein", augment=ADA())


def test_a_gans_discriminator_sees_augmented_images_and_moves_p():
    spec = DataSpec({"image": Image(8, 8, 3)})
    network = MLPGAN(generator_width=8, discriminator_width=8, generator_norm="none", discriminator_norm="none")
    gan = GAN(network=network, latent=4, r1_gamma=1.0, augment=ADA(("colour",), target=-2.0, images=12)).resolve(spec)
    params, state = jax.jit(lambda key: gan.init(key, spec))(KEY)
    batch = {"image": IMAGE, "index": INDEX}

    def losses(state):
        def loss(turn):
            return gan.loss(turn, params, state, batch, KEY, step=jnp.int32(3), train=True)

        return {turn: loss(turn) for turn in ("discriminator", "r1", "generator")}

    before = jax.jit(losses)(state)
    _, moved = gan.update("discriminator", params, state, before["discriminator"].sums, {}, step=jnp.int32(3))
    assert float(moved["augment"]["p"]) == pytest.approx(6 / 12)
    plain = jax.jit(losses)({**state, "augment": {**state["augment"], "p": jnp.float32(1.0)}})
    for turn, out in before.items():
        assert float(out.loss) != pytest.approx(float(plain[turn].loss), rel=1e-3)
