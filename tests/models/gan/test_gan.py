import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UsageError, UserError
from genjax.models.gan import GAN, OBJECTIVES, GANOptions
from genjax.models.gan.logits import histogram, quantiles
from genjax.networks import DCGAN, MLPGAN
from genjax.nn.norm import spectral_normalize, spectral_vectors
from genjax.spec import DataSpec, Image, Label

KEY = jax.random.key(0)
OPTIONS = GANOptions()
PLAIN = MLPGAN(4, 4, "none", "none")
Given = collections.namedtuple("Given", "spec")


def spec(shape=(8, 8, 1), classes=3):
    return DataSpec({"image": Image(*shape), "label": Label(classes)})


_init = jax.jit(lambda model, shape: model.init(KEY, spec(shape)), static_argnums=(0, 1))


def tiny(shape=(8, 8, 1), **kwargs):
    model = GAN(**{"network": MLPGAN(4, 4), "latent": 4, **kwargs}).resolve(spec(shape))
    return model, *_init(model, shape)


def batch_of(n=6, shape=(8, 8, 1)):
    image = jax.random.uniform(jax.random.key(9), (n, *shape), minval=-1.0)
    return {"index": jnp.arange(n), "image": image, "label": jnp.arange(n) % 3}


@functools.partial(jax.jit, static_argnums=(0, 1))
def play(model, turn, params, state, batch):
    return model.loss(turn, params, state, batch, KEY, step=jnp.int32(0), train=True)


@functools.partial(jax.jit, static_argnums=(0, 1))
def gradient(model, turn, params, state, batch):
    return jax.grad(lambda p: model.loss(turn, p, state, batch, KEY, step=0, train=True).loss)(params)


def parameters(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


@functools.partial(jax.jit, static_argnums=(0, 4))
def sample(model, params, state, conditions, options=OPTIONS):
    return model.sample(params, state, KEY, conditions, options)["image"]


@pytest.mark.parametrize(("network", "shape"), ((DCGAN, (8, 8, 1)), (DCGAN, (33, 20, 3)), (MLPGAN, (5, 3, 3))))
def test_images_have_the_shape_and_range_of_the_data(network, shape):
    model, params, state = tiny(shape, network=network(4, 4), conditional=True)
    conditions = {"index": jnp.arange(2), "label": jnp.array([0, 2])}
    image = sample(model, params, state, conditions)
    assert image.shape == (2, *shape) and image.dtype == jnp.float32
    assert (jnp.abs(image) <= 1).all() and (image[0] != image[1]).any()
    assert jnp.isfinite(play(model, "discriminator", params, state, batch_of(2, shape)).loss)


def test_a_celeba_sized_network_has_dcgans_grid_and_channels():
    model = GAN(network=DCGAN(generator_width=128), latent=100).resolve(spec((64, 64, 3)))
    params, state = jax.eval_shape(lambda: model.init(KEY, spec((64, 64, 3))))
    assert params["generator"]["Dense_0"]["kernel"].shape == (100, 4 * 4 * 1024)
    assert [params["discriminator"][f"Downsample_{i}"]["Conv_0"]["kernel"].shape[-1] for i in range(4)] == [
        64,
        128,
        256,
        512,
    ]
    assert set(state["generator"]["batch_stats"]) == {f"Norm_{i}" for i in range(4)}  # not at the output
    assert set(state["discriminator"]["batch_stats"]) == {f"Norm_{i}" for i in (1, 2, 3)}  # nor at the input


def test_only_batch_norm_couples_the_examples():
    assert GAN().couples_batch and GAN(network=MLPGAN(discriminator_norm="none")).couples_batch
    assert not GAN(network=PLAIN).couples_batch
    assert MLPGAN(generator_norm="layer").couples_batch == ("discriminator",)


def test_turns_are_ordered_and_spaced():
    turns = GAN(network=PLAIN, critic_steps=5, r1_gamma=1.0).turns
    assert [(t.name, t.trains, t.every) for t in turns] == [
        ("discriminator", ("discriminator",), 1),
        ("r1", ("discriminator",), 16),
        ("generator", ("generator",), 5),
    ]
    assert [t.name for t in GAN().turns] == ["discriminator", "generator"]


@pytest.mark.parametrize("conditional", (False, True))
def test_each_turn_moves_its_own_entry_and_writes_only_its_state(conditional):
    model, params, state = tiny(spectral_norm=True, conditional=conditional)
    for turn, own, other in (
        ("discriminator", "discriminator", "generator"),
        ("generator", "generator", "discriminator"),
    ):
        out = play(model, turn, params, state, batch_of())
        same = jax.tree.map(lambda a, b: bool((a == b).all()), out.state, state)
        assert jax.tree.structure(out.state) == jax.tree.structure(state)
        assert all(jax.tree.leaves(same[other]))
        assert not any(all(jax.tree.leaves(collection)) for collection in same[own].values())
        assert all(term.count == 6 for term in (*out.terms.values(), *out.metrics.values()))
        norm = optax.tree.norm(gradient(model, turn, params, state, batch_of())[own])
        assert norm > 0 and jnp.isfinite(norm)
    # the generator's gradient is none of the discriminator's business
    assert optax.tree.norm(gradient(model, "discriminator", params, state, batch_of())["generator"]) == 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_rewards_a_step_down_its_gradient(objective):
    penalty = 10.0 if objective == "wasserstein" else 0.0
    model, params, state = tiny(network=PLAIN, objective=objective, gradient_penalty=penalty)
    for turn, own in (("discriminator", "discriminator"), ("generator", "generator")):
        grads = gradient(model, turn, params, state, batch_of())[own]
        moved = {**params, own: jax.tree.map(lambda p, g: p - 1e-2 * g, params[own], grads)}
        before = play(model, turn, params, state, batch_of())
        assert play(model, turn, moved, state, batch_of()).loss < before.loss
    out = play(model, "discriminator", params, state, batch_of())
    assert ("gradient_penalty" in out.metrics) == (objective == "wasserstein")
    assert ("real_accuracy" in out.metrics) == (objective != "wasserstein")
    if objective == "wasserstein":  # the critic's loss is minus its estimate of the distance
        metrics = {name: float(term.value) for name, term in out.metrics.items()}
        gap = metrics["fake_logit"] - metrics["real_logit"]
        assert out.loss == pytest.approx(gap + 10.0 * metrics["gradient_penalty"], rel=1e-5)


@pytest.mark.parametrize("turn", ("discriminator", "r1", "generator"))
def test_without_batch_norm_halves_of_a_batch_average_to_the_whole(turn):
    model, params, state = tiny(network=PLAIN, conditional=True, r1_gamma=2.0, gradient_penalty=1.0)
    assert state == {}
    batch = batch_of()
    whole = play(model, turn, params, state, batch)
    halves = [play(model, turn, params, state, {k: v[s] for k, v in batch.items()}) for s in (slice(0, 3), slice(3, 6))]
    assert whole.loss == pytest.approx(float(sum(h.loss for h in halves)) / 2, rel=1e-5)


def test_the_generators_pass_is_shared_by_the_turns_of_a_step():
    model, params, state = tiny(network=MLPGAN(37, 4, "none", "none"))  # a width found nowhere else

    def dots(turns):
        def step(params):
            return [model.loss(t, params, state, batch_of(), KEY, step=0, train=True).loss for t in turns]

        text = jax.jit(step).lower(params).compile().as_text()
        return sum("37" in line and ("dot(" in line or "custom-call" in line) for line in text.splitlines())

    assert 0 < dots(["discriminator", "generator"]) == dots(["generator"])


def test_clipping_keeps_the_critic_in_its_box_and_leaves_the_generator():
    model, params, _ = tiny(network=PLAIN, objective="wasserstein", clip=0.01)
    clipped, state = model.update("discriminator", params, {"kept": 1}, {}, {}, step=0)
    assert state == {"kept": 1}
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(clipped["discriminator"])) <= 0.01
    assert clipped["generator"] is params["generator"]
    assert model.update("generator", params, {}, {}, {}, step=0)[0] is params


def test_spectral_normalization_divides_by_the_largest_singular_value():
    _, params, state = tiny(network=DCGAN(4, 4, discriminator_norm="none"), spectral_norm=True, conditional=True)
    weights, vectors = params["discriminator"], state["discriminator"]["spectral"]
    assert set(vectors) == set(spectral_vectors(weights, KEY))
    iterate = jax.jit(spectral_normalize)
    for _ in range(100):
        normalized, vectors = iterate(weights, vectors)
    kernels = [w for w in jax.tree.leaves(normalized) if w.ndim > 1]
    assert len(kernels) == len(vectors) == 4  # two convolutions, the last layer, the embedding
    for w in kernels:
        sigma = np.linalg.svd(np.asarray(w).reshape(-1, w.shape[-1]), compute_uv=False)[0]
        assert sigma == pytest.approx(1.0, abs=1e-3)
    biases = zip(jax.tree.leaves(weights), jax.tree.leaves(normalized))
    assert all((a == b).all() for a, b in biases if a.ndim == 1)


def test_samples_belong_to_their_index_and_follow_their_label():
    model, params, state = tiny(conditional=True)
    conditions = {"index": jnp.arange(6), "label": jnp.arange(6) % 3}
    whole = sample(model, params, state, conditions)
    part = sample(model, params, state, {k: v[4:] for k, v in conditions.items()})
    np.testing.assert_allclose(part, whole[4:], atol=1e-6)
    other = sample(model, params, state, {**conditions, "label": (conditions["label"] + 1) % 3})
    assert (jnp.abs(other - whole).max((1, 2, 3)) > 0).all()
    one = {**conditions, "label": jnp.zeros(6, jnp.int32)}
    still = sample(model, params, state, one, GANOptions(truncation=0.0))
    np.testing.assert_allclose(still, still[:1].repeat(6, 0), atol=1e-6)


def test_labels_are_chosen_in_turn_and_only_where_the_model_has_them():
    model = GAN(conditional=True).resolve(spec())
    given, options = GANOptions(label=(2, 0)).conditions(model, Given(spec()), 5)
    assert given["label"].tolist() == [2, 0, 2, 0, 2] and options == OPTIONS
    with pytest.raises(UsageError, match="--label 3: the classes are 0 to 2"):
        GANOptions(label=(3,)).conditions(model, Given(spec()), 5)
    with pytest.raises(UsageError, match="--label: this model was trained without labels"):
        GAN().resolve(spec()).check(GANOptions(label=(0,)))


def test_evaluation_ignores_rows_that_fill_up():
    model, params, state = tiny()
    batch = batch_of()
    evaluate = jax.jit(model.evaluate)
    full = evaluate(params, state, {k: v[:4] for k, v in batch.items()}, KEY)
    filled = evaluate(params, state, {**batch, "valid": jnp.arange(6) < 4}, KEY)
    shares = {name for name in full if name.startswith("logits/")}
    assert set(full) - shares == {"real_logit", "fake_logit", "real_accuracy", "real_sign", "fake_accuracy"}
    for name, (total, count, _) in full.items():
        assert filled[name].total == pytest.approx(float(total), abs=1e-5) and filled[name].count == count == 4
    assert full["real_sign"].value == pytest.approx(2 * float(full["real_accuracy"].value) - 1)


def test_quantiles_of_logits_come_from_shares_that_batches_add_up():
    logit = 4.0 + 3.0 * np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    valid = jnp.arange(5000) < 4000
    metrics = {name: float(term.value) for name, term in histogram("real_logit", logit, valid).items()}
    found = quantiles(metrics | {"swd": 1.0})
    assert set(found) == {"swd", "real_logit_p10", "real_logit_p50", "real_logit_p90"}
    want = np.quantile(logit[:4000], [0.1, 0.5, 0.9])
    np.testing.assert_allclose([found[f"real_logit_{p}"] for p in ("p10", "p50", "p90")], want, rtol=0.05, atol=0.1)
    far = {name: float(term.value) for name, term in histogram("x", np.full(3, 1e9, np.float32), jnp.ones(3)).items()}
    assert quantiles(far)["x_p50"] > 1000


def test_bfloat16_computes_while_parameters_and_losses_stay_float32():
    model, params, state = tiny(network=DCGAN(4, 4), dtype="bfloat16")
    assert {x.dtype.name for x in jax.tree.leaves((params, state))} == {"float32"}
    exact = play(dataclasses.replace(model, dtype=None), "generator", params, state, batch_of()).loss
    rough = play(model, "generator", params, state, batch_of()).loss
    assert rough.dtype == jnp.float32 and rough != exact and rough == pytest.approx(float(exact), rel=0.05)


def test_wrong_options_and_data_say_so():
    for wrong in (dict(r1_gamma=1.0), dict(gradient_penalty=10.0)):
        with pytest.raises(UsageError, match="discriminator_norm"):
            GAN(**wrong)
        GAN(**wrong, network=DCGAN(discriminator_norm="layer"))
    with pytest.raises(UsageError, match="DCGAN: generator_width must be at least 1, not 0"):
        DCGAN(generator_width=0)
    with pytest.raises(UsageError, match="critic_steps must be at least 1, not 0"):
        GAN(critic_steps=0)
    with pytest.raises(UsageError, match="clip must not be negative"):
        GAN(clip=-0.1)
    with pytest.raises(UsageError, match="classes must not be negative"):
        GAN(classes=-1)
    for truncation in (-1.0, float("nan")):
        with pytest.raises(UsageError, match="--truncation"):
            GANOptions(truncation=truncation)
    with pytest.raises(UserError, match="GAN needs the field `image` of kind Image"):
        GAN().resolve(DataSpec({"label": Label(3)}))
    with pytest.raises(UserError, match="a conditional GAN needs the field `label` of kind Label"):
        GAN(conditional=True).resolve(DataSpec({"image": Image(8, 8, 1)}))
    with pytest.raises(UserError, match="the data has"):
        GAN(image_shape=(9, 9, 1)).resolve(spec())
    model, params, state = tiny(conditional=True)
    with pytest.raises(UserError, match="label"):
        model.sample(params, state, KEY, {"index": jnp.arange(2)}, GANOptions())
    with pytest.raises(UserError, match="GAN has no turn 'r1': its turns are discriminator, generator"):
        play(model, "r1", params, state, batch_of())
    with pytest.raises(UserError, match="images are uint8"):
        play(model, "generator", params, state, batch_of() | {"image": jnp.zeros((6, 8, 8, 1), jnp.uint8)})


def test_a_few_steps_teach_the_generator_where_the_data_is():
    model, params, state = tiny((2, 2, 1), network=MLPGAN(32, 32, "none", "none"), r1_gamma=0.1, r1_every=4)
    tx = optax.adam(2e-3, b1=0.5)
    opt = {name: tx.init(params[name]) for name in params}
    target = jnp.array([0.6, -0.6, 0.0, 0.6]).reshape(2, 2, 1)

    @functools.partial(jax.jit, static_argnums=0)
    def step(due, params, state, opt, i):
        key = jax.random.fold_in(KEY, i)
        image = target + 0.1 * jax.random.normal(key, (32, 2, 2, 1))
        batch = {"index": jnp.arange(32), "image": image}
        for turn in (t for t in model.turns if t.name in due):
            (name,) = turn.trains
            grads = jax.grad(
                lambda p, turn=turn, name=name, params=params: (
                    model.loss(turn.name, {**params, name: p}, state, batch, key, step=i, train=True).loss
                )
            )(params[name])
            updates, moved = tx.update(grads, opt[name])
            params, opt = {**params, name: optax.apply_updates(params[name], updates)}, {**opt, name: moved}
        return params, state, opt

    def error():
        image = sample(model, params, state, {"index": jnp.arange(256)})
        return float(jnp.abs(image.mean(0) - target).mean())

    before, errors = error(), []
    for i in range(400):
        params, state, opt = step(tuple(t.name for t in model.turns if (i + 1) % t.every == 0), params, state, opt, i)
        if i >= 200 and i % 50 == 49:  # the players circle: where they are at one step depends on rounding
            errors.append(error())
    assert before > 0.3 and np.mean(errors) < 0.1


@pytest.mark.peers
def test_objectives_are_those_of_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits = np.linspace(-4, 4, 33, dtype=np.float32)
    x = torch.tensor(logits)
    one, zero = torch.ones_like(x), torch.zeros_like(x)

    def bce(target):
        return functional.binary_cross_entropy_with_logits(x, target, reduction="none")

    def mse(target):
        return 0.5 * functional.mse_loss(x, target, reduction="none")

    # hinge_embedding_loss is max(0, margin - x) for the target -1
    def hinge(sign):
        return functional.hinge_embedding_loss(sign * x, -one, margin=1.0, reduction="none")

    want = {
        "non-saturating": (bce(one), bce(zero), bce(one)),
        "least-squares": (mse(one), mse(zero), mse(one)),
        "hinge": (hinge(1), hinge(-1), -x),
        "wasserstein": (-x, x, -x),
    }
    for name, values in want.items():
        for ours, theirs in zip(OBJECTIVES[name][:3], values):
            np.testing.assert_allclose(ours(logits), theirs, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.peers
@pytest.mark.parametrize("penalty", ("r1", "gradient_penalty"))
def test_penalties_and_their_gradients_are_those_of_torch_autograd(penalty):
    torch = pytest.importorskip("torch")
    settings = dict(r1_gamma=3.0, r1_every=2) if penalty == "r1" else dict(gradient_penalty=10.0)
    model, params, state = tiny(network=PLAIN, objective="wasserstein", **settings)
    batch, turn = batch_of(), "r1" if penalty == "r1" else "discriminator"
    grads = gradient(model, turn, params, state, batch)["discriminator"]

    own = params["discriminator"]
    layers = [own["Dense_0"], own["Dense_1"], own["Judgement_0"]["Dense_0"]]
    weights = [[torch.tensor(np.array(d[k]), requires_grad=True) for k in ("kernel", "bias")] for d in layers]

    def judge(x):
        for i, (kernel, bias) in enumerate(weights):
            x = x @ kernel + bias
            x = torch.nn.functional.leaky_relu(x, 0.2) if i < 2 else x[:, 0]
        return x

    def gradient_of(x):
        x = x.requires_grad_(True)
        return torch.autograd.grad(judge(x).sum(), x, create_graph=True)[0]

    real = torch.tensor(np.array(batch["image"]).reshape(6, -1))
    if penalty == "r1":
        loss = 2 * 3.0 / 2 * (gradient_of(real) ** 2).sum(1).mean()
    else:
        index = batch["index"]
        fake = sample(model, params, state, {"index": index}).reshape(6, -1)
        keys = [jax.random.fold_in(jax.random.fold_in(KEY, 1), i) for i in index]
        t = torch.tensor([[float(jax.random.uniform(k, ()))] for k in keys])
        fake = torch.tensor(np.array(fake))
        norm = gradient_of(t * real + (1 - t) * fake).norm(dim=1)
        loss = judge(fake).mean() - judge(real).mean() + 10 * ((norm - 1) ** 2).mean()
    loss.backward()
    assert play(model, turn, params, state, batch).loss == pytest.approx(loss.item(), rel=1e-4)
    ours = [grads["Dense_0"], grads["Dense_1"], grads["Judgement_0"]["Dense_0"]]
    for d, (kernel, _) in zip(ours, weights):
        np.testing.assert_allclose(d["kernel"], kernel.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.peers
def test_spectral_norm_and_its_gradient_are_those_of_torch():
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(0).standard_normal((3, 3, 2, 5)).astype(np.float32)
    c = np.random.default_rng(1).standard_normal(w.shape).astype(np.float32)
    vectors = spectral_vectors({"kernel": w}, KEY, iterations=200)

    def ours(w):
        return (c * spectral_normalize({"kernel": w}, vectors)[0]["kernel"]).sum()

    value, grad = jax.value_and_grad(ours)(jnp.asarray(w))
    tw = torch.tensor(w, requires_grad=True)
    theirs = (torch.tensor(c) * tw / torch.linalg.svdvals(tw.reshape(-1, 5))[0]).sum()
    theirs.backward()
    assert value == pytest.approx(float(theirs), rel=1e-4)
    np.testing.assert_allclose(grad, tw.grad, rtol=1e-3, atol=1e-4)
