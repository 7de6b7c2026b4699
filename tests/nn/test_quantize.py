"""Quantizers: their numbers by hand, codebooks that follow the data, and an independent implementation in PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.nn.codebook import VectorQuantizer, nearest
from genjax.nn.quantize import FSQ, Gumbel

KEY, INDEX = jax.random.key(0), np.arange(3, dtype=np.int32)


def features(width, seed=0):
    return np.random.default_rng(seed).normal(size=(3, 4, 2, width)).astype(np.float32)


def quantize(quantizer, params, state, z, step=0, train=True):
    return quantizer.quantize(params, state, z, INDEX, KEY, step=step, train=train)


def test_the_nearest_code_is_taken():
    codebook = np.float32([[0, 0], [3, 0], [0, 3]])
    np.testing.assert_array_equal(nearest(np.float32([[1, 0.5], [2, 0.1], [-9, 4], [0, 0]]), codebook), [0, 1, 2, 0])


@pytest.mark.parametrize("levels", [(3,), (8, 5, 5, 5), (4, 3)])
def test_every_id_of_fsq_is_reached_and_looked_up(levels):
    fsq = FSQ(levels)
    codes = fsq.look_up({}, {}, jnp.arange(fsq.codes))
    assert fsq.codes == len({tuple(row) for row in np.asarray(codes).round(4).tolist()})
    assert np.abs(codes).max() == 1
    wide = 20 * features(len(levels))
    q = quantize(fsq, {}, {}, wide)
    np.testing.assert_allclose(fsq.look_up({}, {}, q.ids), q.code, atol=1e-6)
    assert q.ids.min() >= 0 and q.ids.max() < fsq.codes
    middle = quantize(fsq, {}, {}, np.zeros_like(wide)).code
    np.testing.assert_allclose(middle, 0, atol=1e-6)


def test_moving_averages_are_those_of_the_batch_and_dead_codes_take_examples():
    vq = VectorQuantizer(size=3, width=2, decay=0.5, restart=0.1, epsilon=0.0)
    codebook = np.float32([[0, 0], [1, 1], [50, 50]])
    state = {"count": np.float32([4, 4, 0.1]), "sum": np.float32([[0, 0], [4, 4], [5, 5]]), "codebook": codebook}
    z = np.float32([[0.1, 0], [1, 1.2], [1.2, 1], [0, 0.1]]).reshape(1, 2, 2, 2)
    q = vq.quantize({}, state, z, np.int32([0]), KEY, step=0, train=True)
    np.testing.assert_array_equal(q.ids.ravel(), [0, 1, 1, 0])
    _, new = vq.update({}, state, q.sums, q.rows)
    np.testing.assert_allclose(new["count"][:2], [3, 3])
    np.testing.assert_allclose(new["codebook"][:2], [[0.05 / 3, 0.05 / 3], [3.1 / 3, 3.1 / 3]], rtol=1e-6)
    assert new["count"][2] == pytest.approx((3 + 3 + 0.05) / 3)
    assert (new["codebook"][2] == z.reshape(-1, 2)).all(-1).any()  # somewhere in the example
    np.testing.assert_allclose(new["sum"][2], new["count"][2] * new["codebook"][2])


@pytest.mark.parametrize("learn", ["ema", "gradient"])
def test_at_the_first_step_dead_codes_go_to_the_data(learn):
    vq = VectorQuantizer(size=8, width=4, learn=learn)
    params = {} if learn == "ema" else vq.module.init(KEY, jnp.zeros(1, int))["params"]
    state, z = vq.init_state(KEY), 100 + features(4)
    q = quantize(vq, params, state, z)
    params, state = vq.update(params, state, q.sums, q.rows)
    assert (np.abs(vq.codebook(params, state) - 100) < 10).all(-1).sum() >= 7
    assert state["count"].min() > 0


def test_where_no_code_dies_those_that_were_never_taken_stay_where_they_are():
    vq = VectorQuantizer(size=8, width=2, restart=0.0)
    state, z = vq.init_state(KEY), np.full((3, 4, 2, 2), 5, np.float32)
    q = quantize(vq, {}, state, z)
    _, new = vq.update({}, state, q.sums, q.rows)
    taken = np.arange(8) == q.ids[0, 0, 0]
    np.testing.assert_allclose(new["codebook"][taken], [[5, 5]], rtol=1e-3)
    np.testing.assert_array_equal(new["codebook"][~taken], state["codebook"][~taken])


def test_the_temperature_falls_along_a_cosine_and_without_training_one_code_is_taken():
    dvae = Gumbel(size=5, width=3, temperature=(1.0, 0.25), steps=10)
    np.testing.assert_allclose([dvae.temperature_at(step) for step in (0, 5, 10, 99)], [1, 0.625, 0.25, 0.25])
    params, z = dvae.module.init(KEY, jnp.zeros(1, int))["params"], features(5)
    still = quantize(dvae, params, {}, z, train=False)
    np.testing.assert_array_equal(still.code, dvae.look_up(params, {}, z.argmax(-1)))
    drawn = np.stack([quantize(dvae, params, {}, z, step=9).code for _ in range(2)])
    np.testing.assert_array_equal(*drawn)
    assert not np.allclose(drawn[0], still.code)
    even = quantize(dvae, params, {}, np.zeros_like(z), step=200).terms["kl"]
    np.testing.assert_allclose(even[0], 0, atol=1e-6)
    assert even[1] == dvae.kl


def test_sizes_that_mean_nothing_are_refused():
    for wrong in (lambda: FSQ(()), lambda: FSQ((2,)), lambda: VectorQuantizer(size=0), lambda: Gumbel(kl=-1)):
        with pytest.raises(UsageError):
            wrong()


# An independent implementation, gradients included.


def gradient(function, z):
    return jax.grad(lambda z: jnp.sum(function(z)))(z)


@pytest.mark.peers
@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (7, 6), (3, 4, 9)])
def test_fsq_equals_vector_quantize_pytorch(levels):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("vector_quantize_pytorch").FSQ(list(levels))
    fsq, z = FSQ(levels), 2 * features(len(levels))
    weight = features(len(levels), 1)
    x = torch.tensor(z.reshape(3, 8, -1), requires_grad=True)
    code, ids = theirs(x)
    (code * torch.tensor(weight.reshape(3, 8, -1))).sum().backward()
    q = quantize(fsq, {}, {}, z)
    np.testing.assert_array_equal(q.ids.reshape(3, 8), ids)
    np.testing.assert_allclose(q.code.reshape(3, 8, -1), code.detach(), atol=1e-6)
    ours = gradient(lambda z: quantize(fsq, {}, {}, z).code * weight, z)
    np.testing.assert_allclose(ours.reshape(3, 8, -1), x.grad, atol=1e-6)
    np.testing.assert_allclose(fsq.look_up({}, {}, q.ids).reshape(3, 8, -1), theirs.indices_to_codes(ids), atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("learn", ["ema", "gradient"])
def test_vector_quantization_equals_vector_quantize_pytorch(learn):
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("vector_quantize_pytorch")
    theirs = package.VectorQuantize(
        dim=4, codebook_size=6, decay=0.9, commitment_weight=0.25, threshold_ema_dead_code=0,
        learnable_codebook=learn == "gradient", ema_update=learn == "ema", rotation_trick=False,
        **({} if learn == "ema" else {"codebook_diversity_loss_weight": 0.0}),
    )  # fmt: skip
    theirs.train()
    codebook, weight = theirs.codebook.detach().numpy().copy(), features(4, 1)
    vq = VectorQuantizer(size=6, width=4, learn=learn, decay=0.9, restart=0.0)
    params = {"embedding": codebook} if learn == "gradient" else {}
    state = {"count": np.ones(6, np.float32)}
    if learn == "ema":
        state |= {"sum": codebook, "codebook": codebook}
    for seed in range(3):
        z = features(4, seed)
        x = torch.tensor(z.reshape(3, 8, 4), requires_grad=True)
        code, ids, commitment = theirs(x)
        ((code * torch.tensor(weight.reshape(3, 8, 4))).sum() + commitment.sum()).backward()

        def total(params, z, state=state):
            q = quantize(vq, params, state, z)
            terms = sum(weight * value.mean() for value, weight in q.terms.values())
            return jnp.sum(q.code * weight) + terms, q

        (_, q), (to_params, to_z) = jax.value_and_grad(total, (0, 1), has_aux=True)(params, z)
        np.testing.assert_array_equal(q.ids.reshape(3, 8), ids)
        np.testing.assert_allclose(q.code.reshape(3, 8, 4), code.detach(), atol=1e-6)
        np.testing.assert_allclose(to_z.reshape(3, 8, 4), x.grad, atol=1e-6)
        if learn == "gradient":
            their_gradient = theirs._codebook.embed.grad[0]
            # their codebook's term has the weight of the commitment
            np.testing.assert_allclose(0.25 * to_params["embedding"], their_gradient, atol=1e-6)
            return
        _, state = vq.update({}, state, q.sums, q.rows)
        np.testing.assert_allclose(state["codebook"], theirs.codebook.detach(), atol=1e-5)
        np.testing.assert_allclose(state["count"], theirs._codebook.cluster_size[0], atol=1e-5)


@pytest.mark.peers
def test_the_relaxation_equals_pytorchs_gumbel_softmax(monkeypatch):
    torch = pytest.importorskip("torch")
    dvae, z = Gumbel(size=5, width=3, temperature=(0.7, 0.7), kl_steps=1), features(5)
    params = dvae.module.init(KEY, jnp.zeros(1, int))["params"]
    uniform = np.asarray(jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(KEY, i), z.shape[1:]))(INDEX))

    def exponential(self, *args, **kwargs):  # gumbel_softmax takes -log of it for its noise
        return self.copy_(-torch.log(torch.tensor(uniform)))

    monkeypatch.setattr(torch.Tensor, "exponential_", exponential)
    x = torch.tensor(z, requires_grad=True)
    table = torch.tensor(np.array(params["embedding"]), requires_grad=True)
    code = torch.nn.functional.gumbel_softmax(x, tau=0.7) @ table
    even = torch.distributions.Categorical(logits=torch.zeros_like(x))
    kl = torch.distributions.kl_divergence(torch.distributions.Categorical(logits=x), even)
    (code.sum() + kl.sum()).backward()

    def total(params, z):
        q = quantize(dvae, params, {}, z, step=1)
        return q.code.sum() + q.terms["kl"][0].sum(), q

    (_, q), (to_params, to_z) = jax.value_and_grad(total, (0, 1), has_aux=True)(params, z)
    np.testing.assert_allclose(q.code, code.detach(), atol=1e-5)
    np.testing.assert_allclose(q.terms["kl"][0], kl.detach(), atol=1e-5)
    np.testing.assert_allclose(to_z, x.grad, atol=1e-4)
    np.testing.assert_allclose(to_params["embedding"], table.grad, atol=1e-5)
