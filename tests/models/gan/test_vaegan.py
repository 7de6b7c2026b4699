import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.models.gan import VAEGAN, VAEGANOptions
from genjax.networks import DCGAN, MLPGAN, DenseAutoencoder, SpatialAutoencoder
from genjax.nn import noise
from genjax.spec import DataSpec, Image, Label

KEY = jax.random.key(0)
SPEC = DataSpec({"image": Image(4, 4, 1), "label": Label(3)})
PLAIN = MLPGAN(6, 6, "none", "none")
ARITHMETIC = VAEGANOptions(mode="arithmetic", add=1, subtract=2)


@functools.cache
def tiny(**kwargs):
    networks = {"encoder": DenseAutoencoder(widths=(6,)), "network": PLAIN}
    model = VAEGAN(**{**networks, "latent": 2, "gamma": 0.5, **kwargs}).resolve(SPEC)
    return model, *jax.jit(lambda: model.init(KEY, SPEC))()


def batch_of(n=6):
    image = jax.random.uniform(jax.random.key(9), (n, 4, 4, 1), minval=-1.0)
    return {"index": jnp.arange(n), "image": image, "label": jnp.arange(n) % 3}


def play(model, turn, params, state):
    return model.loss(turn, params, state, batch_of(), KEY, step=0, train=True)


def gradient(model, turn, params, state):
    def loss(own):
        return play(model, turn, {**params, turn: own}, state).loss

    return jax.value_and_grad(loss)(params[turn])


class Given:
    """Six validation examples, two of each class but the last."""

    def rows(self, names, num):
        return {"image": np.arange(6.0)[:, None, None, None] * np.ones((1, 4, 4, 1)), "label": np.arange(6) % 2}


def test_three_players_move_one_after_the_other():
    model, params, state = tiny(network=DCGAN(4, 4))
    assert [(t.name, t.trains) for t in model.turns] == [(n, (n,)) for n in ("encoder", "generator", "discriminator")]
    assert model.couples_batch and not tiny()[0].couples_batch
    for turn in ("generator", "discriminator"):
        new = play(model, turn, params, state).state
        for name in ("generator", "discriminator"):
            moved = any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (new[name], state[name]))))
            assert moved == (name == turn)


def test_gamma_weighs_the_reconstruction_for_the_generator_alone():
    model, params, state = tiny()
    double = tiny(gamma=1.0)[0]
    for turn in ("encoder", "generator"):
        one, two = (play(m, turn, params, state).terms["likeness"].value for m in (model, double))
        assert two == pytest.approx(float(one) * (2 if turn == "generator" else 1), rel=1e-6)


def test_the_layer_chooses_the_features():
    _, params, state = tiny(network=DCGAN(4, 4))
    sizes = [tiny(network=DCGAN(4, 4), layer=i)[0]._judge(params, state, batch_of()["image"], False)[1].shape
             for i in (0, 1, -1)]  # fmt: skip
    assert sizes == [(6, 16), (6, 8), (6, 8)]
    with pytest.raises(UsageError, match="layer 2 of a discriminator that has 2 hidden layers"):
        tiny(network=DCGAN(4, 4), layer=2)[0]._judge(params, state, batch_of()["image"], False)


def test_the_state_remembers_the_mean_code_of_each_class():
    model, params, state = tiny()
    out = play(model, "encoder", params, state)
    _, state = model.update("encoder", params, out.state, out.sums, {}, step=0)
    mean = model.posterior(params, batch_of()["image"])[0]
    codes = state["codes"]
    np.testing.assert_allclose(codes["sum"] / codes["count"], [mean[i::3].mean(0) for i in range(3)], rtol=1e-5)
    assert play(model, "generator", params, state).sums == {}
    _, again = model.update("encoder", params, state, out.sums, {}, step=1)
    assert (again["codes"]["count"] > 1.9 * codes["count"]).all()


def test_arithmetic_adds_one_class_and_takes_another_away():
    model, params, state = tiny()
    state = {"codes": {"sum": jnp.array([[0.0, 0], [8, 2], [3, 9]]), "count": jnp.array([[1.0], [2], [3]])}}
    image = batch_of()["image"]
    out = model.sample(params, state, KEY, {"index": jnp.arange(6), "image": image}, ARITHMETIC)
    z = model.posterior(params, image)[0]
    want, _ = model._generate(params, state, z + jnp.array([4.0, 1]) - jnp.array([1.0, 3]), train=False)
    np.testing.assert_allclose(out["image"], want, atol=1e-6)
    same, _ = model._generate(params, state, z, train=False)
    np.testing.assert_allclose(out["reconstruction"], same, atol=1e-6)
    made, options = VAEGANOptions(mode="arithmetic", add=0, subtract=1).conditions(model, Given(), 2)
    assert made["subject"][:, 0, 0, 0].tolist() == [1.0, 3.0]  # images of the class that is taken away
    assert model.layout(options).beside == ("given.subject", "reconstruction", "image")
    assert model.layout(VAEGANOptions(mode="arithmetic", add=0)).beside[0] == "given.image"
    assert model.needs(options) == ("image",) and model.needs(VAEGANOptions()) == ()
    moved = model.sample(params, state, KEY, {"index": jnp.arange(6), "image": 0 * image, "subject": image}, ARITHMETIC)
    np.testing.assert_array_equal(moved["image"], out["image"])


def test_wrong_options_say_so():
    model, *_ = tiny()
    for options, message in (
        (VAEGANOptions(mode="arithmetic", add=3), "--add 3: the classes of the data are 0 to 2"),
        (VAEGANOptions(mode="arithmetic", subtract=-1), "--subtract -1: the classes of the data are 0 to 2"),
        (VAEGANOptions(mode="arithmetic"), "say which class to --add or to --subtract"),
        (VAEGANOptions(add=1), "--add belongs to --mode arithmetic"),
    ):
        with pytest.raises(UsageError, match=message):
            model.check(options)
    with pytest.raises(UsageError, match="--subtract 2: no validation image has this label"):
        ARITHMETIC.conditions(model, Given(), 2)
    with pytest.raises(UsageError, match="--label"):
        VAEGANOptions(label=(1,)).conditions(model, Given(), 2)
    bare = DataSpec({"image": Image(4, 4, 1)})
    with pytest.raises(UsageError, match="no labels, hence no attributes"):
        VAEGAN(network=PLAIN).resolve(bare).check(ARITHMETIC)
    with pytest.raises(UsageError, match="its codes are vectors"):
        VAEGAN(encoder=SpatialAutoencoder(widths=(4,), blocks=1)).resolve(SPEC)
    with pytest.raises(UsageError, match="gamma"):
        VAEGAN(gamma=-1.0)


@pytest.mark.peers
def test_losses_and_gradients_are_those_of_torch_autograd():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model, params, state = tiny()
    params = jax.tree.map(lambda x: x + 0.1, params)  # no activation is exactly 0, where the slopes differ
    weights = jax.tree.map(lambda x: torch.tensor(np.array(x), requires_grad=True), params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    def generate(z):
        g = weights["generator"]
        x = functional.relu(dense(g["Dense_1"], functional.relu(dense(g["Dense_0"], z))))
        return torch.tanh(dense(g["Dense_2"], x))

    def judge(x):
        d = weights["discriminator"]
        h = functional.leaky_relu(dense(d["Dense_0"], x), 0.2)
        h = functional.leaky_relu(dense(d["Dense_1"], h), 0.2)
        return dense(d["Judgement_0"]["Dense_0"], h)[:, 0], h

    def normal(stream):
        return torch.tensor(np.array(noise.normal(jax.random.fold_in(KEY, stream), jnp.arange(6), (2,))))

    image = torch.tensor(np.array(batch_of()["image"]).reshape(6, -1))
    e, bce = weights["encoder"], functional.binary_cross_entropy_with_logits
    hidden = functional.gelu(dense(e["Dense_0"], image), approximate="tanh")
    mean, log_variance = dense(e["Dense_1"], hidden).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    made = generate(mean + (0.5 * log_variance).exp() * normal(0))
    (real, real_h), (fake, fake_h), (drawn, _) = judge(image), judge(made), judge(generate(normal(1)))
    like = 0.5 * functional.mse_loss(real_h, fake_h, reduction="sum") / 6
    one, zero = torch.ones(6), torch.zeros(6)
    losses = {
        "encoder": kl + like,
        "generator": 0.5 * like + bce(fake, one) + bce(drawn, one),
        "discriminator": bce(real, one) + bce(fake, zero) + bce(drawn, zero),
    }
    for turn, loss in losses.items():
        value, grads = gradient(model, turn, params, state)
        assert value == pytest.approx(loss.item(), rel=1e-5)
        wanted = torch.autograd.grad(loss, jax.tree.leaves(weights[turn]), retain_graph=True)
        for ours, theirs in zip(jax.tree.leaves(grads), wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
