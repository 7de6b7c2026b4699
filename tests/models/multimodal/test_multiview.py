"""VAEs of several views: their posteriors, their bounds, views that are missing, what is drawn."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.errors import UsageError, UserError
from genjax.models import DenseAutoencoder, Multiview
from genjax.models.multimodal.experts import divergence, log_density, product, subsets
from genjax.models.multimodal.multiview_loss import BOUNDS
from genjax.models.multimodal.views import canvas, drawn, seen
from genjax.spec import DataSpec, Image, Label, Real, Tokens

SPEC = DataSpec(
    {
        "picture": Image(4, 4, 1),
        "word": Tokens((5,), 6, ragged=True, end=0),
        "kind": Label(3, optional=True),
        "place": Real((2,)),
    }
)
BATCH = 8


def made(**fields):
    model = Multiview(latent=3, network=DenseAutoencoder((8,)), widths=(8,), iwae_samples=3, **fields).resolve(SPEC)
    params, _ = model.init(jax.random.key(0), SPEC)
    return model, params, jax.tree.map(jnp.asarray, SPEC.random_batch(BATCH, seed=1))


def test_subsets_are_all_but_the_empty_one():
    assert subsets(3).astype(int).tolist() == [
        [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1],
    ]  # fmt: skip
    assert len(subsets(5, range(2, 5))) == 10 + 10 + 5


def test_a_product_of_gaussians_is_proportional_to_their_densities():
    mean, log_var = np.array([[[0.5]], [[-1.0]]]), np.log(np.array([[[0.4]], [[2.0]]]))
    x = np.linspace(-2, 2, 5)
    for prior in (True, False):
        m, v = (np.asarray(part).item() for part in product(mean, log_var, jnp.ones((2, 1)), prior=prior))
        experts = sum(stats.norm.logpdf(x, a, math.exp(b / 2)) for a, b in zip(mean.ravel(), log_var.ravel()))
        apart = experts + prior * stats.norm.logpdf(x) - stats.norm.logpdf(x, m, math.exp(v / 2))
        np.testing.assert_allclose(apart, apart[0], rtol=1e-5)
    nothing = product(mean, log_var, jnp.zeros((2, 1)), prior=False)
    assert [np.asarray(part).item() for part in nothing] == [0, 0]


def test_densities_and_divergence_are_those_of_scipy():
    mean, log_var, z = (np.random.default_rng(i).normal(size=(4, 3)) for i in range(3))
    theirs = stats.norm.logpdf(z, mean, np.exp(log_var / 2)).sum(-1)
    np.testing.assert_allclose(log_density(z, mean, log_var), theirs, rtol=1e-5)
    draws = stats.norm.rvs(mean, np.exp(log_var / 2), size=(200_000, 4, 3), random_state=0)
    sampled = (stats.norm.logpdf(draws, mean, np.exp(log_var / 2)) - stats.norm.logpdf(draws)).sum(-1).mean(0)
    np.testing.assert_allclose(divergence(mean, log_var), sampled, rtol=0.02)


def test_what_is_seen_is_drawn_again():
    batch = SPEC.random_batch(BATCH, seed=0)
    for name, field in SPEC.fields.items():
        view = seen(name, field, batch)
        assert view.shape == (BATCH, *canvas(field))
        again = drawn(name, field, view)
        if name == "word":
            for row in range(BATCH):
                length = batch["word_length"][row]
                assert again["word_length"][row] == length
                assert np.array_equal(again["word"][row, :length], batch["word"][row, :length])
        else:
            np.testing.assert_allclose(again[name], batch[name], atol=1e-6)


@pytest.mark.parametrize("posterior", ["poe", "moe", "mopoe"])
def test_a_view_that_a_row_lacks_changes_nothing(posterior):
    model, params, batch = made(posterior=posterior)
    lacking = batch | {"kind_present": jnp.arange(BATCH) % 2 == 0}
    other = lacking | {"kind": jnp.where(lacking["kind_present"], lacking["kind"], (lacking["kind"] + 1) % 3)}
    for at in (lacking, other):
        at["kind_present"] = lacking["kind_present"]
    first, second = (BOUNDS[posterior](model, params, b, jax.random.key(2))[0] for b in (lacking, other))
    np.testing.assert_array_equal(first, second)
    whole = BOUNDS[posterior](model, params, batch | {"kind_present": jnp.ones(BATCH, bool)}, jax.random.key(2))[0]
    assert np.array_equal(whole == first, lacking["kind_present"])


@pytest.mark.parametrize(("posterior", "samples"), [("poe", 1), ("moe", 1), ("moe", 4), ("mopoe", 1)])
def test_a_row_without_any_view_counts_for_nothing(posterior, samples):
    fields = {name: dataclasses.replace(field, optional=True) for name, field in SPEC.fields.items()}
    spec = DataSpec({name: fields[name] for name in ("kind", "place")})
    model = Multiview(latent=3, widths=(8,), posterior=posterior, samples=samples).resolve(spec)
    params, _ = model.init(jax.random.key(0), spec)
    batch = jax.tree.map(jnp.asarray, spec.random_batch(2, seed=1))
    batch |= dict.fromkeys(("kind_present", "place_present"), jnp.array([True, False]))

    def total(params):
        loss_B, values = BOUNDS[posterior](model, params, batch, jax.random.key(2))
        return loss_B.sum(), (loss_B, values)

    (_, (loss_B, values)), gradient = jax.value_and_grad(total, has_aux=True)(params)
    assert loss_B[0] != 0 and loss_B[1] == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((values, gradient)))


def test_a_text_is_seen_alike_however_far_its_batch_is_padded():
    field, word = SPEC.fields["word"], np.array([[1, 2, 0, 4, 4]])
    whole, shorter = ({"word": words, "word_length": np.array([3])} for words in (word, word[:, :3]))
    np.testing.assert_array_equal(seen("word", field, whole), seen("word", field, shorter))


@pytest.mark.parametrize(("posterior", "parts"), [("poe", 1), ("moe", 4), ("mopoe", 15)])
def test_posteriors_are_mixtures_whose_weights_sum_to_one(posterior, parts):
    model, params, batch = made(posterior=posterior)
    batch["kind_present"] = jnp.arange(BATCH) % 2 == 0
    mean, log_var, weight = model.posterior_of(params, batch, model.views)
    assert mean.shape == log_var.shape == (parts, BATCH, 3)
    np.testing.assert_allclose(weight.sum(0), 1, rtol=1e-6)
    alone = model.posterior_of(params, batch, ("kind",))
    np.testing.assert_array_equal(alone[0][:, 1::2], 0)  # rows without it have the prior
    np.testing.assert_array_equal(alone[1][:, 1::2], 0)
    draws = jax.vmap(lambda key: model.draw(key, batch["index"], (mean, log_var, weight)))(
        jax.random.split(jax.random.key(0), 20_000)
    )
    np.testing.assert_allclose(draws.mean(0), (weight[..., None] * mean).sum(0), atol=0.05)


def test_the_mixtures_bound_is_the_importance_weighted_one_and_its_decoder_gradient_too():
    model, params, batch = made(posterior="moe", samples=4, rescale=False)
    batch["kind_present"] = jnp.ones(BATCH, bool)
    key = jax.random.key(3)

    def plain(params):
        """The bound of Shi et al. by its definition, expert after expert."""
        mean, log_var, _ = model.experts(params, batch, model.views)
        repeated = (jnp.repeat(x, 4, axis=0) for x in (mean, log_var))
        from genjax.models.multimodal.multiview_loss import _draws

        z = jax.lax.stop_gradient(_draws(model, key, batch, *repeated))
        total = 0.0
        for m in range(4):
            weights = []
            for k in range(4):
                at = z[4 * m + k]
                q = jax.nn.logsumexp(jnp.stack([log_density(at, mean[n], log_var[n]) for n in range(4)]), 0)
                p = log_density(at, jnp.zeros_like(at), jnp.zeros_like(at))
                weights.append(model.likelihoods(params, batch, at).sum(0) + p - q + math.log(4))
            total += (jax.nn.logsumexp(jnp.stack(weights), 0) - math.log(4)) / 4
        return -total.sum()

    def ours(params):
        return BOUNDS["moe"](model, params, batch, key)[0].sum()

    (value, gradient), (theirs, expected) = jax.value_and_grad(ours)(params), jax.value_and_grad(plain)(params)
    assert float(value) == pytest.approx(float(theirs), rel=1e-5)
    for name in model.views:  # the decoders' gradient does not go through the draws
        entry = f"decoder_{name}"
        for a, b in zip(jax.tree.leaves(gradient[entry]), jax.tree.leaves(expected[entry])):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_one_draw_of_a_mixture_of_one_expert_is_a_vaes_bound():
    """With a single view left, all three bounds estimate the same number."""
    values = {}
    for posterior in ("moe", "mopoe"):
        model, params, batch = made(posterior=posterior, views=("picture", "kind"), rescale=False)
        batch["kind_present"] = jnp.zeros(BATCH, bool)
        keys = jax.random.split(jax.random.key(0), 4000)
        values[posterior] = jax.lax.map(lambda key, m=model, p=params: BOUNDS[m.posterior](m, p, batch, key)[0], keys)
    np.testing.assert_allclose(values["moe"].mean(0), values["mopoe"].mean(0), rtol=0.02)


def test_any_views_are_drawn_from_any_others():
    model, params, batch = made()
    options = model.check(model.Options(given=("word", "kind")))
    assert options.sample == ("picture", "place") and model.needs(options) == ("word", "kind")
    out = model.sample(params, {}, jax.random.key(0), batch, options)
    assert set(out) == {"picture", "word", "word_length", "kind", "place"}
    assert model.layout(options).beside == ("given.word", "given.kind", "picture", "place")
    assert model.check(model.Options()).sample == model.views


def test_what_can_be_no_view_is_named():
    with pytest.raises(UsageError, match="--given sound: this model was trained on the views picture, word"):
        made()[0].check(Multiview.Options(given=("sound",)))
    with pytest.raises(UsageError, match="--given word word: each view once"):
        made()[0].check(Multiview.Options(given=("word", "word")))
    with pytest.raises(UserError, match=r"--model\.views sound: this data has picture, word"):
        Multiview(views=("picture", "sound")).resolve(SPEC)
    with pytest.raises(UserError, match="needs two views or more, and the data has image"):
        Multiview().resolve(DataSpec({"image": Image(4, 4, 1), "tokens": Tokens((8,), 9, shifted=True)}))
    with pytest.raises(UserError, match=r"--model\.views tokens: text of up to 8 tokens can be no view"):
        fields = {"image": Image(4, 4, 1), "tokens": Tokens((8,), 9, shifted=True)}
        Multiview(views=("image", "tokens")).resolve(DataSpec(fields))
    with pytest.raises(UsageError, match=r"--model\.samples 4"):
        Multiview(samples=4)
    with pytest.raises(UserError, match="kinds differ"):
        other = DataSpec(SPEC.fields | {"place": Real((3,))})
        dataclasses.replace(made()[0]).resolve(other)
