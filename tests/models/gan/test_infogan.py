import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models.gan import InfoGAN, InfoGANOptions
from genjax.networks import DCGAN, MLPGAN
from genjax.spec import DataSpec, Image, Label

KEY = jax.random.key(0)
SPEC = DataSpec({"image": Image(4, 4, 1), "label": Label(3)})
PLAIN = MLPGAN(6, 6, "none", "none")
Given = collections.namedtuple("Given", "spec")


@functools.cache
def tiny(**kwargs):
    model = InfoGAN(**{"network": PLAIN, "latent": 2, "categorical": (3,), "continuous": 2, **kwargs}).resolve(SPEC)
    return model, *jax.jit(lambda: model.init(KEY, SPEC))()


def batch_of(n=6):
    image = jax.random.uniform(jax.random.key(9), (n, 4, 4, 1), minval=-1.0)
    return {"index": jnp.arange(n), "image": image, "label": jnp.arange(n) % 3}


def gradient(model, turn, params, state):
    def loss(trained):
        return model.loss(turn, params | trained, state, batch_of(), KEY, step=0, train=True).loss

    trains = next(each.trains for each in model.turns if each.name == turn)
    return jax.value_and_grad(loss)({name: params[name] for name in trains})


def sample(model, params, state, options, num=6):
    conditions, options = options.conditions(model, Given(SPEC), num)
    return model.sample(params, state, KEY, {"index": jnp.arange(num), **conditions}, options)["image"]


def test_codes_are_of_their_kinds_and_belong_to_the_example():
    model, *_ = tiny(categorical=(3, 2))
    code = model._codes(KEY, jnp.arange(200))
    assert code.shape == (200, 7)
    assert set(np.unique(code[:, :5])) == {0.0, 1.0}
    assert (code[:, :3].sum(1) == 1).all() and (code[:, 3:5].sum(1) == 1).all()
    assert (code[:, :5].sum(0) > 40).all()
    assert -1 <= code[:, 5:].min() < -0.9 and 0.9 < code[:, 5:].max() < 1
    np.testing.assert_array_equal(model._codes(KEY, jnp.array([7])), code[7:8])


def test_the_bound_is_the_information_where_q_knows_the_code_and_zero_where_it_does_not():
    model, *_ = tiny()
    code = model._codes(KEY, jnp.arange(50))
    sure = jnp.concatenate([1e3 * code[:, :3], code[:, 3:], jnp.full((50, 2), -1.0)], axis=1)
    known, *continuous = model.bounds(sure, code)
    np.testing.assert_allclose(known, np.log(3), rtol=1e-5)
    for bound in continuous:  # the log density of a Gaussian at its mean, of width 1 / e
        np.testing.assert_allclose(bound, 1 - 0.5 * np.log(2 * np.pi) + np.log(2), rtol=1e-4)
    np.testing.assert_allclose(model.bounds(jnp.zeros_like(sure), code)[0], 0, atol=1e-6)


def test_q_moves_with_the_discriminator_and_its_weight_is_lambda():
    model, params, state = tiny(network=DCGAN(4, 4))
    assert [turn.trains for turn in model.turns] == [("discriminator", "q"), ("generator",)]
    (_, grads), (_, twice) = (gradient(m, "discriminator", params, state) for m in (model, tiny(
        network=DCGAN(4, 4), information=2.0, continuous_information=0.2)[0]))  # fmt: skip
    for one, two in zip(jax.tree.leaves(grads["q"]), jax.tree.leaves(twice["q"])):
        np.testing.assert_allclose(two, 2 * one, rtol=1e-3, atol=1e-6)
    out = model.loss("discriminator", params, state, batch_of(), KEY, step=0, train=True)
    assert set(out.terms) == {"real", "fake", "code0", "code1", "code2"}
    for name in ("q", "discriminator"):  # both have statistics, and this turn writes them
        assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (out.state[name], state[name]))))


def test_a_walk_changes_one_code_and_nothing_else_along_its_row():
    model, params, state = tiny()
    _, z = [], []
    generate = model._generate

    def spy(params, state, z_BZ, label_B, train):
        z.append(np.asarray(z_BZ))
        return generate(params, state, z_BZ, label_B, train)

    object.__setattr__(model, "_generate", spy)
    try:
        sample(model, params, state, InfoGANOptions(mode="walk"), 7)
        sample(model, params, state, InfoGANOptions(mode="walk", code=2), 20)
    finally:
        object.__delattr__(model, "_generate")
    category, slope = z
    np.testing.assert_array_equal(category[:3, 2:5], np.eye(3))
    others = np.delete(category, [2, 3, 4], axis=1)
    assert (others[:3] == others[0]).all() and (others[3:6] == others[3]).all() and (others[0] != others[3]).any()
    np.testing.assert_allclose(slope[:10, 6], np.linspace(-2, 2, 10), rtol=1e-6)
    assert (np.delete(slope, 6, axis=1)[:10] == np.delete(slope, 6, axis=1)[0]).all()
    assert model.layout(InfoGANOptions(mode="walk")).columns == 3
    assert set(model.previews) == {"sample", "code0", "code1", "code2"}


def test_cluster_accuracy_is_the_best_assignment():
    scipy = pytest.importorskip("scipy.optimize")
    model, *_ = tiny(categorical=(4,))
    table = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(4, 3)
    metrics = {f"cluster/{i}/{j}": table[i, j] for i in range(4) for j in range(3)}
    rows, columns = scipy.linear_sum_assignment(-table)
    found = model.finalize(metrics | {"swd": 1.0})
    assert found == {"swd": 1.0, "cluster_accuracy": pytest.approx(table[rows, columns].sum(), rel=1e-5)}


def test_evaluation_tells_clusters_where_there_are_labels():
    model, params, state = tiny()
    terms = model.evaluate(params, state, batch_of(), KEY)
    metrics = model.finalize({name: float(term.value) for name, term in terms.items()})
    assert 1 / 3 <= metrics["cluster_accuracy"] <= 1
    assert {"information_code0", "information_code2", "fake_logit", "real_logit_p50"} <= set(metrics)
    unlabelled = {name: x for name, x in batch_of().items() if name != "label"}
    assert not any("cluster" in name for name in model.evaluate(params, state, unlabelled, KEY))


def test_wrong_options_say_so():
    with pytest.raises(UsageError, match="--code 3: the codes of this model are 0 to 2"):
        tiny()[0].check(InfoGANOptions(mode="walk", code=3))
    for wrong in (dict(categorical=(1,)), dict(categorical=(), continuous=0)):
        with pytest.raises(UsageError, match="InfoGAN needs a code"):
            InfoGAN(**wrong)
    with pytest.raises(UsageError, match="information"):
        InfoGAN(information=-1.0)
    with pytest.raises(UsageError, match=r"leave model\.conditional out"):
        InfoGAN(conditional=True)


@pytest.mark.peers
def test_losses_and_gradients_are_those_of_torch_autograd():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model, params, state = tiny()
    weights = jax.tree.map(lambda x: torch.tensor(np.array(x), requires_grad=True), params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    def generate(z):
        g = weights["generator"]
        x = functional.relu(dense(g["Dense_1"], functional.relu(dense(g["Dense_0"], z))))
        return torch.tanh(dense(g["Dense_2"], x))

    def judge(x):
        d, q = weights["discriminator"], weights["q"]
        h = functional.leaky_relu(dense(d["Dense_0"], x), 0.2)
        h = functional.leaky_relu(dense(d["Dense_1"], h), 0.2)
        answer = dense(q["Dense_1"], functional.leaky_relu(dense(q["Dense_0"], h), 0.2))
        return dense(d["Judgement_0"]["Dense_0"], h)[:, 0], answer

    def information(answer):
        category = functional.cross_entropy(answer[:, :3], code[:, :3].argmax(1)) - np.log(3)
        gaussian = torch.distributions.Normal(answer[:, 3:5], answer[:, 5:7].exp())
        return category - 0.1 * (gaussian.log_prob(code[:, 3:]) + np.log(2)).sum(1).mean()

    z = torch.tensor(np.array(model._latent(KEY, jnp.arange(6))))
    code = z[:, 2:]
    real = torch.tensor(np.array(batch_of()["image"]).reshape(6, -1))
    for turn in ("discriminator", "generator"):
        value, grads = gradient(model, turn, params, state)
        logit, answer = judge(generate(z).detach() if turn == "discriminator" else generate(z))
        if turn == "discriminator":
            loss = (functional.softplus(-judge(real)[0]) + functional.softplus(logit)).mean()
        else:
            loss = functional.softplus(-logit).mean()
        loss = loss + information(answer)
        assert value == pytest.approx(loss.item(), rel=1e-5)
        names = {path: leaf for path, leaf in jax.tree_util.tree_leaves_with_path({n: weights[n] for n in grads})}
        wanted = torch.autograd.grad(loss, list(names.values()))
        for (_, ours), theirs in zip(jax.tree_util.tree_leaves_with_path(grads), wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
