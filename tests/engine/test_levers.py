"""The levers of memory and speed change no numbers: each is compared with the plain step."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
from systems import TINY, batch, engine, spec_of, tiny

import genjax
from genjax.engine.engine import Engine
from genjax.engine.step import due_turns
from genjax.training.schedule import steps_of_call


def with_model(name: str, **fields) -> Engine:
    experiment = tiny(name)
    model = dataclasses.replace(experiment.model, **fields)
    return Engine(dataclasses.replace(experiment, model=model), spec_of(name), jax.devices()[:1])


def run(built: Engine, name: str, steps: int = 3):
    state, history = built.init(), []
    for step in range(steps):
        state, metrics = built.step(state, [built.put(batch(name, step))], [due_turns(built.experiment, step)])
        history += jax.device_get(metrics)
    return jax.device_get(state), history


@pytest.mark.parametrize("fields", [{"remat": "full"}, {"remat": "dots"}, {"unroll": 1}, {"unroll": 2}])
def test_rematerialization_and_the_loop_over_layers_change_no_numbers(fields):
    expected, history = run(with_model("gpt"), "gpt")
    state, other = run(with_model("gpt", **fields), "gpt")
    chex.assert_trees_all_close(history, other, rtol=1e-5)
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-4, atol=1e-5)


def test_the_program_of_a_scanned_stack_is_flat_in_depth():
    def lines(layers: int) -> int:
        built = with_model("gpt", layers=layers, unroll=1)
        lowered = built.compile_steps((("next_token",),)).lower(built.abstract_state, (built.put(batch("gpt")),))
        return len(lowered.as_text().splitlines())

    assert lines(8) == lines(4)


def test_rematerialization_takes_less_memory():
    def temporaries(remat: str) -> int:
        built = with_model("gpt", layers=8, unroll=1, width=64, remat=remat)
        lowered = built.compile_steps((("next_token",),)).lower(built.abstract_state, (built.put(batch("gpt")),))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporaries("full") < temporaries("dots") < temporaries("none")


@pytest.mark.parametrize("name", ["gpt", "gan"])
def test_several_steps_a_call_equal_single_steps(name):
    built = engine(name)
    expected, history = run(built, name, 6)
    state = built.init()
    dues = [due_turns(built.experiment, step) for step in range(6)]
    state, metrics = built.step(state, [built.put(batch(name, step)) for step in range(6)], dues)
    assert [sorted(m) for m in metrics] == [sorted(m) for m in history]
    for got, want in zip(jax.device_get(metrics), history):
        chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(jax.device_get(state.params), expected.params, rtol=1e-3, atol=2e-5)


def test_a_call_of_several_steps_ends_where_an_event_is_due():
    train = dataclasses.replace(
        TINY["gpt"].train, steps=25, steps_per_call=4, eval_every=10, sample_every=0, checkpoint_every=6
    )
    step, ends = 0, []
    while step < train.steps:
        step += steps_of_call(step, train)
        ends.append(step)
    assert {6, 10, 12, 18, 20, 24, 25} <= set(ends) and max(np.diff([0, *ends])) == 4


def test_the_state_is_donated():
    built = engine("gpt")
    state = built.init()
    built.step(state, [built.put(batch("gpt"))], [("next_token",)])
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


def test_prefetch_workers_and_calls_do_not_change_what_is_learned(tmp_path):
    runs = []
    for number, (prefetch, workers, calls) in enumerate([(1, 1, 1), (4, 2, 1), (2, 0, 3)]):
        experiment = TINY["gpt"]
        experiment = dataclasses.replace(
            experiment,
            data=dataclasses.replace(experiment.data, prefetch=prefetch, workers=workers),
            train=dataclasses.replace(experiment.train, steps=6, steps_per_call=calls),
        )
        genjax.train(experiment, tmp_path / str(number))
        runs.append(genjax.restore(tmp_path / str(number))[1])
    chex.assert_trees_all_equal(runs[0], runs[1])
    chex.assert_trees_all_close(runs[0], runs[2], rtol=1e-3, atol=2e-5)


def test_dropout_draws_the_same_mask_on_any_number_of_devices():
    experiment = tiny("gpt")
    experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, dropout=0.3))
    histories = []
    for devices in (1, 4):
        built = Engine(experiment, spec_of("gpt"), jax.devices()[:devices])
        histories.append(run(built, "gpt")[1])
    chex.assert_trees_all_close(*histories, rtol=1e-5)
    plain = run(engine("gpt"), "gpt")[1]
    assert abs(plain[0]["next_token/loss"] - histories[0][0]["next_token/loss"]) > 1e-4


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_steps_are_not_traced_again_after_the_first(backend, monkeypatch):
    built = engine("vae", 2, backend=backend)
    state = built.init()
    state, _ = built.step(state, [built.put(batch("vae"))], [("elbo",)])
    with jax.log_compiles(False), jax.transfer_guard_device_to_host("disallow"):
        traced = []
        monkeypatch.setattr("genjax.engine.step.gradient", lambda *a, **k: traced.append(1))
        for step in range(1, 4):
            state, _ = built.step(state, [built.put(batch("vae", step))], [("elbo",)])
    assert not traced and int(state.step) == 4
