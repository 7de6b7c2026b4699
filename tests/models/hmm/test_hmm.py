"""The hidden Markov model: what EM finds, what is missing, starts, and what cannot be."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import load, require_unchanged
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.interop.hmmlearn import from_hmmlearn, read_arrays, to_hmmlearn, write_arrays
from genjax.models import HMM, CategoricalEmission, GaussianEmission, MixtureEmission, PoissonEmission
from genjax.recipes import load_experiment
from genjax.runs.chains import chain_picture
from genjax.spec import DataSpec, Mask, Real, States, Tokens

KEY = jax.random.key(0)


def fitted(model: HMM, batch: dict, steps: int, spec: DataSpec):
    """(resolved model, params, state, nats an observation before each step)."""
    model = model.resolve(spec).on("cpu")
    params, state = model.init(KEY, spec)
    batch = {"index": np.arange(len(next(iter(batch.values())))), **batch}

    @jax.jit
    def step(params, state, number):
        out = model.loss(model.learn, params, state, batch, KEY, step=number, train=True)
        return *model.update(model.learn, params, state, out.sums, out.rows, step=number), out.loss

    losses = []
    for number in range(steps):
        params, state, loss = step(params, state, jnp.int32(number))
        losses.append(float(loss))
    return model, params, state, losses


@pytest.mark.parametrize(("states", "published"), [(1, -391.919), (2, -341.879), (3, -328.527)])
def test_the_earthquakes_have_their_published_likelihoods(states, published):
    recipe = load_experiment("hmm_earthquakes")
    dataset = load(recipe.data)
    batch = dataset.train.gather(np.array([0]))
    model = dataclasses.replace(recipe.model, states=states)
    model, params, state, _ = fitted(model, batch, 300, dataset.spec)
    terms = model.evaluate(params, state, {"index": np.arange(1), **batch}, KEY)
    found = model.finalize({"nll": float(terms["nll"].value), "count": float(terms["nll"].count)})
    assert abs(found["log_likelihood"] - published) < 2e-3
    free = states**2 - 1 + states
    np.testing.assert_allclose(found["aic"], 2 * free - 2 * published, atol=0.01)
    np.testing.assert_allclose(found["bic"], np.log(107) * free - 2 * published, atol=0.01)


def clusters(sequences: int = 8, times: int = 60) -> np.ndarray:
    """(B, T, 2) of three clusters far apart."""
    random = np.random.default_rng(0)
    centre = np.array([[0, 0], [8, 0], [0, 8]])
    return np.float32(centre[random.integers(0, 3, (sequences, times))] + random.normal(size=(sequences, times, 2)))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_em_from_k_means_finds_clusters(covariance):
    x_BTD = clusters()
    model = HMM(states=3, emission=GaussianEmission(covariance=covariance), start="kmeans")
    model, params, _, losses = fitted(model, {"series": x_BTD}, 8, DataSpec({"series": Real((60, 2))}))
    assert np.all(np.diff(losses[1:]) < 1e-5)  # EM never falls back
    found = to_hmmlearn(jax.device_get(params))
    np.testing.assert_allclose(sorted(found["means_"].round().tolist()), [[0, 0], [0, 8], [8, 0]], atol=0.1)
    np.testing.assert_allclose(np.diagonal(found["covars_"], axis1=-2, axis2=-1).mean(), 1, atol=0.6)


def test_a_mixture_of_one_component_is_its_component():
    x, weight = jnp.asarray(clusters()[0]), jax.nn.softmax(jax.random.normal(KEY, (60, 3)))
    one = GaussianEmission(dims=2)
    mixture = MixtureEmission(component=one, components=1, dims=2)
    params = one.init(KEY, 3)
    mixed = mixture.init(KEY, 3)
    np.testing.assert_allclose(mixture.log_prob(mixed, x), one.log_prob(params, x), rtol=1e-5)
    after = one.maximize(params, one.statistics(params, x, weight))[0]
    mixed = mixture.maximize(mixed, mixture.statistics(mixed, x, weight))[0]
    np.testing.assert_allclose(mixed["component"]["mean"][:, 0], after["mean"], rtol=1e-5)


def test_what_is_missing_does_not_count():
    """Missing times change nothing by their values; a time before the last still moves the chain."""
    x_BTD, seen_BT = clusters(4, 12), np.random.default_rng(1).random((4, 12)) < 0.7
    spec = DataSpec({"series": Real((12, 2)), "observed": Mask((12,))})
    model = HMM(states=3, emission=GaussianEmission()).resolve(spec)
    params = model.init(KEY, spec)[0]["hmm"]

    def known(x_BTD):
        return model.smooth(params, model.sequences({"series": jnp.asarray(x_BTD), "observed": seen_BT}))

    ours, other = known(x_BTD), known(np.where(seen_BT[..., None], x_BTD, 77))
    np.testing.assert_array_equal(ours.log_likelihood_B, other.log_likelihood_B)
    np.testing.assert_allclose(ours.move_KK.sum(), 4 * 11, rtol=1e-5)


def test_stochastic_em_on_small_batches_comes_close_to_em_on_all():
    random = np.random.default_rng(0)
    x_NT = np.where(random.random((64, 40)) < 0.5, random.integers(0, 2, (64, 40)), 2 + random.integers(0, 2, (64, 1)))
    spec = DataSpec({"tokens": Tokens((40,), 4)})
    emission = CategoricalEmission(pseudocount=1e-3)
    model, params, state, losses = fitted(HMM(states=3, emission=emission), {"tokens": x_NT}, 60, spec)
    stochastic = dataclasses.replace(model, step_power=0.6)
    _, state = stochastic.init(KEY, spec)
    params = model.init(KEY, spec)[0]

    @jax.jit
    def step(params, state, number, rows):
        batch = {"index": rows, "tokens": jnp.asarray(x_NT)[rows]}
        out = stochastic.loss("em", params, state, batch, KEY, step=number, train=True)
        return stochastic.update("em", params, state, out.sums, out.rows, step=number)

    for number in range(240):
        params, state = step(params, state, jnp.int32(number), random.integers(0, 64, 8))
    term = model.evaluate(params, state, {"index": np.arange(64), "tokens": x_NT}, KEY)["nll"]
    assert abs(float(term.value) - losses[-1]) < 0.02 < losses[0] - losses[-1]


def test_the_likeliest_restart_is_used():
    x_BTD = clusters()
    model = HMM(states=3, emission=GaussianEmission(), restarts=4)
    spec = DataSpec({"series": Real((60, 2))})
    model, params, state, _ = fitted(model, {"series": x_BTD}, 10, spec)
    data = model.sequences({"series": jnp.asarray(x_BTD)})
    total_R = model.log_likelihood(params["hmm"], data).sum(1)
    best = jax.tree.map(lambda x: x[None], model.likeliest(params, state))
    np.testing.assert_allclose(model.log_likelihood(best, data).sum(), total_R.max(), rtol=1e-6)


def test_samples_have_the_moves_and_emissions_of_the_chain():
    arrays = {"startprob_": [1, 0], "transmat_": [[0.9, 0.1], [0.3, 0.7]], "lambdas_": [[2.0], [30.0]]}
    spec = DataSpec({"counts": Tokens((4000,), 100)})
    model = HMM(emission=PoissonEmission()).resolve(spec)
    params = jax.tree.map(jnp.float32, from_hmmlearn({name: np.array(x) for name, x in arrays.items()}))
    out = model.sample(params, {"hmm": {"score": jnp.zeros(1)}}, KEY, {"index": jnp.arange(2)}, model.Options())
    state_NT, x_NT = out["states"], out["counts"]
    assert not state_NT[:, 0].any()
    np.testing.assert_allclose(np.mean(state_NT[:, 1:][state_NT[:, :-1] == 1]), 0.7, atol=0.03)
    np.testing.assert_allclose([x_NT[state_NT == k].mean() for k in (0, 1)], [2, 30], rtol=0.05)


@pytest.mark.parametrize(
    ("emission", "field"),
    [
        (GaussianEmission(), Real((9,))),
        (PoissonEmission(), Real((9,), counts=True)),
        (PoissonEmission(), Tokens((9,), 5)),
    ],
)
def test_decoded_sequences_have_the_shape_of_drawn_ones(emission, field):
    spec = DataSpec({emission.field: field})
    model = HMM(emission=emission).resolve(spec)
    params, state = model.init(KEY, spec)
    batch = {"index": np.arange(2), emission.field: np.ones((2, 9), field.values().dtype)}
    for how in ("none", "viterbi"):
        out = model.sample(params, state, KEY, batch, model.Options(decode=how))
        for name, kind in model.outputs(spec).items():
            assert (out[name].shape[1:], out[name].dtype) == (kind.values().shape, kind.values().dtype)


def test_hmmlearns_parameters_come_back_from_a_file(tmp_path):
    model = HMM(states=2, emission=GaussianEmission(covariance="full", dims=2))
    params = jax.tree.map(np.array, model.init(KEY, None)[0])
    params["hmm"]["emission"]["lower"][:, :, 1, 0] = 0.5
    for name in ("parameters.json", "parameters.npz"):
        write_arrays(to_hmmlearn(params), tmp_path / name)
        again = from_hmmlearn(read_arrays(tmp_path / name))
        chain = jax.tree.map(lambda x: jax.nn.log_softmax(x), params["hmm"]["move"])
        np.testing.assert_allclose(again["hmm"]["move"], chain, rtol=1e-5)
        for part in ("mean", "log_scale", "lower"):
            ours, theirs = again["hmm"]["emission"][part], params["hmm"]["emission"][part]
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_picture_shows_sequences_of_symbols_and_of_numbers():
    states = np.array([[0, 1, 1, -1], [1, 0, 0, 0]], np.int32)
    shared = {"states": states, "move": np.full((2, 2, 2), 0.5)}
    kind = States(4, 2, "x")
    numbers = {**shared, "x": np.zeros((2, 4, 1)), "emission": np.zeros((2, 2, 1))}
    symbols = {**shared, "x": np.zeros((2, 4), np.int32), "emission": np.full((2, 2, 3), 1 / 3)}
    for arrays, field in ((numbers, Real((4, 1))), (symbols, Tokens((4,), 3))):
        assert chain_picture(arrays, "states", kind, {"x": field}).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "spec", "message"),
    [
        (HMM(emission=CategoricalEmission(symbols=4)), DataSpec({"tokens": Tokens((9,), 5)}), "symbols is 4, .* has 5"),
        (HMM(emission=PoissonEmission()), DataSpec({"tokens": Tokens((9,), 5)}), "needs the field `counts`"),
        (
            HMM(emission=PoissonEmission()),
            DataSpec({"counts": Real((9, 2))}),
            "`counts` must be whole numbers from 0 on",
        ),
        (HMM(emission=GaussianEmission()), DataSpec({"series": Real((9, 2, 2))}), r"shape \(T,\) or \(T, D\)"),
        (
            HMM(emission=GaussianEmission()),
            DataSpec({"series": Real((9,)), "observed": Mask((8,))}),
            r"make it \(9,\)",
        ),
    ],
)
def test_data_that_does_not_fit_is_told(model, spec, message):
    with pytest.raises(UserError, match=message):
        model.resolve(spec)


@pytest.mark.parametrize("options", [{"states": 0}, {"restarts": 0}, {"step_power": 2.0}, {"start": "kmeans"}])
def test_impossible_hyper_parameters_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        HMM(**options)


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({"counts": np.array([[1, 2, -3]] * 4)}, (), "counts must be .* integers from 0 on"),
        ({"tokens": np.array([[1, 2, -1]] * 4)}, (), "tokens must be .* integers from 0 on"),
        (
            {"series": np.array([[1, np.nan, 3.0]] * 4)},
            (),
            "4 number.* of `series` are not finite. Where .* `observed`",
        ),
        ({"series": np.ones((4, 3, 2)), "series_length": np.array([3, 2, 0, 1])}, (), "integers from 1 to 3"),
    ],
)
def test_observations_outside_the_range_are_one_clear_line(arrays, fields, message, tmp_path):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load(Data(path=str(tmp_path / "data.npz"), fields=fields))


def test_counts_are_told_from_other_numbers(tmp_path):
    """Of one kind or several, as integers or floats; what is whole in one data set need not be in the next."""
    counts = np.arange(24).reshape(4, 3, 2)
    for number, (array, whole) in enumerate([(counts, True), (counts + 0.5, False), (counts - 1.0, False)]):
        np.savez(tmp_path / f"{number}.npz", counts=array)
        dataset = load(Data(path=str(tmp_path / f"{number}.npz")))
        assert dataset.spec.fields["counts"].counts == whole
    require_unchanged(dataset, DataSpec({"counts": Real((3, 2), counts=True)}), None)


def test_sequences_of_unequal_length_are_read(tmp_path):
    rows = [{"series": [[1.0, 2.0]] * n} for n in (3, 1, 5, 2)]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    dataset = load(Data(path=str(tmp_path / "data.jsonl"), validation=0.25))
    assert dataset.spec.fields == {"series": Real((5, 2), ragged=True)}
    read = dataset.train.gather(np.arange(3))
    np.testing.assert_array_equal(read["series"].any(-1).sum(1), read["series_length"])


def test_what_is_missing_is_read_from_lists(tmp_path):
    rows = [{"series": [1.5] * n, "observed": [True] * (n - 1) + [False]} for n in (3, 2, 5, 2)]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    dataset = load(Data(path=str(tmp_path / "data.jsonl"), validation=0.25))
    model = HMM(emission=GaussianEmission()).resolve(dataset.spec)
    read = dataset.train.gather(np.arange(3))
    seen_BT = model.sequences({name: jnp.asarray(x) for name, x in read.items()}).seen_BT
    np.testing.assert_array_equal(seen_BT.sum(1), read["series_length"] - 1)


def test_a_genome_is_read_without_its_names(tmp_path):
    (tmp_path / "genome.fa").write_text(">name of it\nACGT\nacgt\n>next\n" + "AACC" * 20)
    dataset = load(Data(path=str(tmp_path / "genome.fa"), tokenizer="char", context=7))
    assert dataset.tokenizer.decode(dataset.train.gather(np.array([0]))["tokens"][0].tolist()) == "ACGTACGT"
    (tmp_path / "genome.fa").write_text(">name\nAC GT")
    with pytest.raises(UserError, match="not FASTA"):
        load(Data(path=str(tmp_path / "genome.fa"), tokenizer="char", context=7))
