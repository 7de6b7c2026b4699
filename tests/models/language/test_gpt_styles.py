"""Values of a transformer's style: QK-norm, windows, soft caps and biases of logits, z-loss, the base of RoPE."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models import GPT
from genjax.networks.transformer import empty_cache
from genjax.nn.positions import rotate
from genjax.spec import DataSpec, Tokens

SPEC = DataSpec({"tokens": Tokens((12,), 21, shifted=True)})
BASE = GPT(layers=2, heads=2, width=16, positions="rope", vocabulary_multiple=8)
TOKENS = np.random.default_rng(0).integers(0, 21, (3, 12))


def built(**fields):
    model = dataclasses.replace(BASE, **fields).resolve(SPEC).on("cpu")
    params, _ = model.init(jax.random.key(0), SPEC)
    return model, jax.tree.map(lambda x: 5 * x, params)


@pytest.mark.parametrize("fields", [{"qk_norm": True}, {"window": 4}, {"logit_bias": True, "logit_softcap": 3.0}])
def test_the_cached_decoder_says_what_the_whole_one_does(fields):
    model, params = built(**fields)
    whole = jax.jit(model.logits)(params, TOKENS)
    step = jax.jit(
        lambda ids, cache, t: model.networks()["decoder"].apply(
            {"params": params["decoder"]}, ids, cache=cache, start=t
        )
    )
    cache = empty_cache(model, 3, 12)
    for t in range(12):
        logits, cache = step(TOKENS[:, t : t + 1], cache, t)
        np.testing.assert_allclose(logits[:, 0, :21], whole[:, t, :21], atol=1e-4)


def test_a_window_ends_what_a_position_sees():
    model, params = built(window=3)
    logits, changed = jax.jit(model.logits), TOKENS.copy()
    changed[:, 2] = (changed[:, 2] + 1) % 21
    difference = np.abs(logits(params, TOKENS) - logits(params, changed))[..., :21].max((0, 2))
    assert difference[[2, 3, 4]].min() > 1e-3  # the first of two layers
    assert difference[:2].max() == 0 and difference[7:].max() < 1e-5  # 2 + 2 layers x 2 positions is the farthest


def test_queries_and_keys_are_normalized_before_they_turn():
    """Their size then means nothing: scaled projections of queries and keys leave the logits as they were."""
    model, params = built(qk_norm=True)
    qkv = params["decoder"]["blocks"]["attention"]["qkv"]
    scale = jnp.array([30.0, 1 / 3, 1.0])[:, None]  # of each head's (query, key, value)
    larger = jax.tree.map(lambda x: x, params)
    larger["decoder"]["blocks"]["attention"]["qkv"] = {name: x * scale for name, x in qkv.items()}
    logits = jax.jit(model.logits)
    np.testing.assert_allclose(logits(larger, TOKENS), logits(params, TOKENS), atol=2e-3)
    assert {"query_norm", "key_norm"} <= params["decoder"]["blocks"]["attention"].keys()


def test_a_soft_cap_bounds_the_logits():
    (plain, params), capped = built(), built(logit_softcap=2.0)[0]
    before, after = (jax.jit(model.logits)(params, TOKENS)[..., :21] for model in (plain, capped))
    np.testing.assert_allclose(after, 2 * np.tanh(before / 2), atol=1e-5)
    assert np.abs(before).max() > 2 > np.abs(after).max()
    sampled = np.asarray(jax.jit(capped.logits)(params, TOKENS))
    assert (sampled[..., 21:] < -1e29).all()  # what only pads the vocabulary stays impossible


def test_the_z_loss_is_the_square_of_the_log_of_the_sum():
    """PaLM (Chowdhery et al. 2022, section 5), over the targets that count."""
    (plain, params), model = built(), built(z_loss=0.1)[0]
    batch = {name: jnp.asarray(x) for name, x in SPEC.random_batch(3).items()}
    batch["mask"] = jnp.asarray(np.random.default_rng(1).random((3, 12)) < 0.5)
    given = {"step": 0, "train": True}
    ours = model.loss("next_token", params, {}, batch, jax.random.key(0), **given)
    theirs = plain.loss("next_token", params, {}, batch, jax.random.key(0), **given)
    z = jax.nn.logsumexp(model.logits(params, batch["tokens"][:, :-1]), axis=-1)
    expected = 0.1 * (z**2)[batch["mask"]].mean()
    assert float(ours.loss - theirs.loss) == pytest.approx(float(expected), rel=1e-4)
    assert set(ours.terms) == {"cross_entropy", "z"} and set(theirs.terms) == {"cross_entropy"}


def test_the_base_of_the_rotation():
    x = jnp.ones((1, 5, 1, 4))
    angle = 3 * 100.0 ** (-np.arange(2) / 2)
    expected = np.concatenate([np.cos(angle) - np.sin(angle), np.sin(angle) + np.cos(angle)])
    np.testing.assert_allclose(rotate(x, jnp.arange(5), 100.0)[0, 3, 0], expected, atol=1e-6)


def test_wrong_values_are_named():
    for fields, message in (
        ({"window": 0}, "window is 0"),
        ({"logit_softcap": -1.0}, "logit_softcap -1.0"),
        ({"rope_base": 0.0}, "rope_base 0.0"),
        ({"z_loss": -1.0}, "z_loss is -1.0"),
    ):
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(BASE, **fields)
