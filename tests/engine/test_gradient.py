"""However a batch is cut, a step computes the same: terms with their own counts, sums, rows and updates."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import TOYS, VECTORS, Codebook, MissingViews, Toy, TwoCounts

from genjax.engine.engine import Engine
from genjax.engine.step import due_turns
from genjax.errors import UsageError
from genjax.experiment import Data, Experiment, Gradient, Mesh, Optim, Train
from genjax.models.base import LossOutput, Term, Turn

BATCH = 16
WHOLE = {"devices": 1}
CUTS = {
    "4 micro-batches": {"devices": 1, "grad_accumulation": 4},
    "mesh 2x2x2": {"devices": 8, "mesh": Mesh(data=2, fsdp=2, tensor=2)},
    "pmap": {"devices": 4, "backend": "pmap"},
    "pmap, 2 micro-batches": {"devices": 4, "backend": "pmap", "grad_accumulation": 2},
}


def batch_of(spec, step):
    batch = spec.random_batch(BATCH, step)
    if "view_present" in batch:  # micro-batches and replicas with very different numbers of views
        batch["view_present"] = np.arange(BATCH) % 4 < np.array([0, 1, 3, 4])[np.arange(BATCH) // 4]
    return batch


def run(model, spec, steps=3, devices=1, mesh=Mesh(), **train):
    experiment = Experiment(
        model=model, data=Data(batch_size=BATCH), optim=Optim(learning_rate=0.05), mesh=mesh, train=Train(**train)
    )
    engine = Engine(experiment, spec, jax.devices()[:devices])
    state, losses = engine.init(), []
    for step in range(steps):
        state, [metrics] = engine.step(state, [engine.put(batch_of(spec, step))], [due_turns(experiment, step)])
        losses.append(jax.device_get(metrics))
    return jax.device_get((state.params, state.model_state)), losses


@pytest.fixture(scope="module")
def whole():
    return {name: run(*toy, **WHOLE) for name, toy in TOYS.items()}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", TOYS)
def test_parameters_and_state_do_not_depend_on_how_the_batch_is_cut(name, cut, whole):
    (params, state), losses = run(*TOYS[name], **CUTS[cut])
    chex.assert_trees_all_close(params, whole[name][0][0], rtol=1e-6, atol=1e-6)
    chex.assert_trees_all_close(state, whole[name][0][1], rtol=1e-6, atol=1e-6)
    chex.assert_trees_all_close(losses, whole[name][1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", [TwoCounts(), MissingViews()])
def test_the_gradient_is_that_of_the_whole_batchs_loss(model):
    params, _ = model.init(jax.random.key(0), VECTORS)
    batch, key = batch_of(VECTORS, 0), jax.random.key(1)

    def loss(params):
        return model.loss("learn", params, {}, batch, key, step=jnp.int32(0), train=True).loss

    from genjax.engine.gradient import gradient

    for micro_batches in (1, 4):
        outcome = gradient(
            lambda trained, state, batch: model.loss("learn", trained, state, batch, key, step=0, train=True),
            params, {}, batch, key, batch_size=BATCH, micro_batches=micro_batches,
        )  # fmt: skip
        chex.assert_trees_all_close(outcome.grads, jax.grad(loss)(params), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outcome.metrics["loss"], loss(params), rtol=1e-6)


def test_a_mean_of_means_would_be_wrong():
    """The tests above can fail: the mean of the micro-batches' own losses is another number."""
    model, batch = TwoCounts(), batch_of(VECTORS, 0)
    params, _ = model.init(jax.random.key(0), VECTORS)

    def loss(rows):
        part = {name: x[rows] for name, x in batch.items()}
        return model.loss("learn", params, {}, part, jax.random.key(1), step=0, train=True).loss

    parts = [loss(np.arange(BATCH) % 4 == i) for i in range(4)]
    assert abs(np.mean(parts) / loss(np.arange(BATCH)) - 1) > 1e-3


def test_em_never_lowers_the_likelihood(whole):
    model, spec = TOYS["hmm"]
    experiment = Experiment(model=model, data=Data(batch_size=BATCH))
    engine = Engine(experiment, spec, jax.devices()[:1])
    state, batch, losses = engine.init(), engine.put(batch_of(spec, 0)), []
    assert not state.opt_state
    for _ in range(30):
        state, [metrics] = engine.step(state, [batch], [("em",)])
        losses.append(float(metrics["em/loss"]))
    assert np.all(np.diff(losses) <= 1e-5) and losses[0] - losses[-1] > 0.1
    for table in jax.tree.leaves(state.params):
        np.testing.assert_allclose(np.exp(table).sum(-1), 1, rtol=1e-5)


def private(noise=0.0, clip=0.5):
    return Gradient("per_example", clip_norm=clip, noise_multiplier=noise)


@pytest.mark.parametrize("cut", [WHOLE, *CUTS.values()], ids=["whole", *CUTS])
def test_per_example_gradients_equal_a_loop_over_the_examples(cut):
    model, batch = TwoCounts(), batch_of(VECTORS, 0)
    (params, _), _ = run(model, VECTORS, 1, gradient=private(), **cut)
    start, _ = run(model, VECTORS, 0)
    start, total = start[0], 0.0

    def loss(params, row):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), 0)
        return model.loss("learn", params, {}, row, key, step=0, train=True).loss

    for i in range(BATCH):
        grads = jax.grad(loss)(start, {name: x[i : i + 1] for name, x in batch.items()})
        norm = np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
        total = jax.tree.map(
            lambda t, g: t + g * min(1, 0.5 / norm) / BATCH, total or jax.tree.map(np.zeros_like, grads), grads
        )
    expected = jax.tree.map(lambda p, g: p - 0.05 * g / (np.abs(g) + 1e-8), start, total)  # Adam's first step
    chex.assert_trees_all_close(params, expected, rtol=1e-4, atol=1e-5)


def test_the_noise_of_private_gradients_has_its_standard_deviation_and_is_the_same_on_every_replica():
    from genjax.engine.gradient import gradient

    params = {"net": jnp.zeros((200, 100))}
    batch = {"index": np.arange(BATCH, dtype=np.int32)}

    def loss(trained, state, batch):
        return LossOutput({"loss": Term.mean(0.0 * trained["net"].sum() + batch["index"] * 0.0)}, {}, state)

    noisy = gradient(loss, params, {}, batch, jax.random.key(0), how=private(2.0), batch_size=BATCH).grads["net"]
    np.testing.assert_allclose(noisy.std(), 2.0 * 0.5 / BATCH, rtol=0.02)
    one = run(Toy1(), VECTORS, 2, gradient=private(1.0))[0]
    two = run(Toy1(), VECTORS, 2, gradient=private(1.0), devices=4, backend="pmap")[0]
    chex.assert_trees_all_close(one, two, rtol=1e-5, atol=1e-6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy1(Toy):
    def loss(self, turn, params, state, batch, key, *, step, train):
        return LossOutput({"size": Term.mean(self.output(params, batch) ** 2)}, {}, state)


def test_rows_that_a_private_order_leaves_empty_count_nothing():
    batch = batch_of(VECTORS, 0) | {"valid": np.arange(BATCH) < 5}
    from genjax.engine.gradient import gradient

    model = Toy1()
    params, _ = model.init(jax.random.key(0), VECTORS)

    def outcome(batch, **options):
        return gradient(
            lambda trained, state, batch: model.loss("learn", trained, state, batch, None, step=0, train=True),
            params, {}, batch, jax.random.key(0), batch_size=BATCH, **options,
        )  # fmt: skip

    some = outcome(batch, how=private())
    alone = outcome({name: x[:5] for name, x in batch.items()}, how=private())
    chex.assert_trees_all_close(some.grads, alone.grads, rtol=1e-6)
    np.testing.assert_allclose(some.metrics["loss"], alone.metrics["loss"], rtol=1e-6)
    with pytest.raises(UsageError, match="per_example"):
        outcome(batch)


def test_per_example_gradients_refuse_a_model_that_keeps_state():
    with pytest.raises(UsageError, match="keeps state"):
        run(Codebook(), VECTORS, 1, gradient=private())


def test_turns_start_and_repeat():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Three(Toy1):
        turns = (Turn("a", ("net",)), Turn("b", ("net",), every=3, start=4), Turn("c", (), every=2))

    experiment = Experiment(model=Three())
    due = [due_turns(experiment, step) for step in range(12)]
    assert [step for step in range(12) if "b" in due[step]] == [6, 9]
    assert [step for step in range(12) if "c" in due[step]] == [1, 3, 5, 7, 9, 11]
    assert all("a" in names for names in due)
    from genjax.engine.step import all_turns, turn_period

    assert all_turns(experiment) == ("a", "b", "c") and len(turn_period(experiment)) == 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Apart(Toy):
    """Its state is that of the rows at hand, and so another one on every replica."""

    def init(self, key, spec, batch_size=1):
        return super().init(key, spec)[0], {"net": {"mean": jnp.zeros(3)}}

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF = self.output(params, batch)
        return LossOutput({"size": Term.mean(y_BF**2)}, {}, {"net": {"mean": y_BF.mean(0)}})


def test_state_that_differs_by_replica_is_refused():
    run(Apart(), VECTORS, steps=1)
    with pytest.raises(UsageError, match="the model's state net/mean differs from replica to replica"):
        run(Apart(), VECTORS, steps=1, devices=4, backend="pmap")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Longer(Toy):
    """It returns more rows than there are examples."""

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF = self.output(params, batch)
        return LossOutput({"size": Term.mean(y_BF**2)}, {}, state, rows=jnp.concatenate([y_BF, y_BF]))


@pytest.mark.parametrize("gradient", [Gradient(), Gradient("per_example")])
def test_rows_beyond_the_batch_are_refused(gradient):
    with pytest.raises(UsageError, match=r"LossOutput\.rows has an array of shape"):
        run(Longer(), VECTORS, steps=1, gradient=gradient)


def _wrong(**members):
    return dataclasses.make_dataclass("Wrong", [], bases=(Toy1,), frozen=True, namespace=members)()


@pytest.mark.parametrize(
    "update, message",
    [
        (lambda params: {}, "turn learn: the parameters that `update` returns lacks net/bias"),
        (lambda params: jax.tree.map(lambda x: x.astype(jnp.bfloat16), params), r"net/bias as bfloat16 \(3,\)"),
        (lambda params: jax.tree.map(lambda x: x[None], params), r"must keep float32 \(3,\)"),
    ],
)
def test_an_update_that_changes_the_form_of_parameters_is_told_at_the_first_step(update, message):
    model = _wrong(update=lambda self, turn, params, state, sums, rows, *, step: (update(params), state))
    with pytest.raises(UsageError, match=message):
        run(model, VECTORS, 1)


def test_a_total_that_is_not_float32_is_told_with_turn_and_term():
    def loss(self, turn, params, state, batch, key, *, step, train):
        return LossOutput({"size": Term(jnp.bfloat16(1), jnp.float32(1))}, {}, state)

    with pytest.raises(UsageError, match="turn learn: the total of `size` is bfloat16, and must be float32"):
        run(_wrong(loss=loss), VECTORS, 1)


def test_per_example_gradients_refuse_a_turn_without_a_gradient_and_sums_beside_it():
    model, spec = TOYS["hmm"]
    with pytest.raises(UsageError, match="trained without a gradient"):
        run(model, spec, 1, gradient=private())

    def loss(self, turn, params, state, batch, key, *, step, train):
        return LossOutput({"size": Term.mean(self.output(params, batch))}, {}, state, sums={"n": jnp.float32(1)})

    with pytest.raises(UsageError, match="sums its examples"):
        run(_wrong(loss=loss), VECTORS, 1, gradient=private())
