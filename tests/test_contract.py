"""The promises of every system, whatever it learns: one entry in tests/systems.py is tested by all of this."""

import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Collection

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import BATCH, SYSTEMS, TINY, batch, engine, spec_of, tiny

from genjax import recipes
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.engine.step import due_turns
from genjax.errors import UserError
from genjax.experiment import Mesh
from genjax.models.base import Model
from genjax.registry import KINDS
from genjax.spec import Image, Label, Tokens

ALL = sorted(SYSTEMS)
ONE = Mesh()
UNCOUPLED = [name for name in ALL if not tiny(name).model.couples_batch]
ONE_ENTRY = [name for name in ALL if len({entry for turn in TINY[name].model.turns for entry in turn.trains}) == 1]


def costly(names: list[str] = ALL, but: Collection[str] = ALL) -> list:
    """The names, those of variants and of large networks marked as slow, and all that are not in `but`."""
    quick = {name for name in but if not SYSTEMS[name].slow}
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def start(name: str, built: Engine) -> TrainState:
    """The state before the first step, placed as `built` has it: one program draws it for all variants of a run."""
    state, kept = engine(name).init(), built.abstract_state
    average = state.ema._replace(
        params=only(state.ema.params, kept.ema.params), state=only(state.ema.state, kept.ema.state)
    )
    return jax.device_put(state.replace(opt_state=only(state.opt_state, kept.opt_state), ema=average), built.shardings)


def only(entries: dict, kept: Collection[str]) -> dict:
    """A variant with frozen entries has fewer optimizers and averages."""
    return {entry: entries[entry] for entry in kept}


@functools.cache
def loss_of(model: Model, turn: str):
    """(params, state, batch, key) -> the turn's compiled loss at the first step."""
    return jax.jit(functools.partial(model.loss, turn, step=0, train=True))


@functools.cache
def history(name: str, steps: int = 5, devices: int = 1, mesh: Mesh = ONE, **train):
    """(params, model state, losses of each step) of a run on synthetic batches; computed once for all tests."""
    built = engine(name, devices, mesh, **train)
    state, losses = start(name, built), []
    for step in range(steps):
        state, [metrics] = built.step(state, [built.put(batch(name, step))], [due_turns(built.experiment, step)])
        metrics = jax.device_get(metrics)
        losses.append([float(value) for key, value in sorted(metrics.items()) if key.endswith("/loss")])
    params, model_state = jax.device_get((state.params, state.model_state))
    return params, model_state, losses


def assert_same(ours, reference):
    """Of two runs of which one is cut into parts: losses of every step, parameters, and model state."""
    np.testing.assert_allclose(np.concatenate(ours[2]), np.concatenate(reference[2]), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(ours[0], reference[0], rtol=1e-3, atol=2e-5)
    chex.assert_trees_all_close(ours[1], reference[1], rtol=1e-3, atol=2e-5)


def test_every_registered_system_is_covered():
    covered = {type(experiment.model).__name__ for experiment in TINY.values()}
    systems = {name for name, kind in KINDS.items() if issubclass(kind, Model)}
    assert covered == {name for name in systems if KINDS[name].__module__.startswith("genjax.")}


def test_no_field_hides_a_method_of_the_contract():
    for experiment in TINY.values():
        kind = type(experiment.model)
        methods = {name for name, value in vars(Model).items() if callable(value)}
        assert not methods & {field.name for field in dataclasses.fields(kind)}, kind


@pytest.mark.parametrize("name", ALL)
def test_init_has_float32_parameters_for_every_network_and_is_deterministic(name):
    built = engine(name)
    state, again = built.init(), built.init()
    assert set(state.params) == set(built.model.networks())
    chex.assert_trees_all_equal(state.params, again.params)
    for leaf in jax.tree.leaves(state.params):
        assert leaf.dtype == jnp.float32
    optimized = {entry for turn in built.model.turns if turn.gradient for entry in turn.trains}
    assert set(state.opt_state) == optimized <= set(state.params)


@pytest.mark.parametrize("name", ALL)
def test_loss_has_finite_terms_that_count_the_batch(name):
    built = engine(name)
    state = built.init()
    for turn in built.model.turns:
        out = loss_of(built.model, turn.name)(state.params, state.model_state, batch(name), jax.random.key(0))
        chex.assert_shape([out.loss, *(term.total for term in out.terms.values())], ())
        chex.assert_tree_all_finite((out.loss, out.terms, out.metrics))
        assert out.loss.dtype == jnp.float32
        assert {float(term.count) for term in out.terms.values()} <= SYSTEMS[name].counts(batch(name))
        chex.assert_trees_all_equal_structs(out.state, state.model_state)


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_turn_is_refused(name):
    model, state = engine(name).model, engine(name).abstract_state
    loss = functools.partial(model.loss, "nonsense", step=0, train=True)
    with pytest.raises(UserError, match="no turn 'nonsense'"):
        jax.eval_shape(loss, state.params, state.model_state, batch(name), jax.random.key(0))


@pytest.mark.parametrize("name", [name for name in ALL if spec_of(name).of_kind(Image)])
def test_pictures_in_8_bits_are_refused(name):
    built = engine(name)
    model, state = built.model, built.abstract_state
    for field in spec_of(name).of_kind(Image):
        given = batch(name) | {field: np.zeros(batch(name)[field].shape, np.uint8)}
        for turn in model.turns:
            loss = functools.partial(model.loss, turn.name, step=0, train=True)
            with pytest.raises(UserError, match=r"images are uint8: give float32 in \[-1, 1\]"):
                jax.eval_shape(loss, state.params, state.model_state, given, jax.random.key(0))


@pytest.mark.parametrize("name", [name for name in ALL if TINY[name].model.samples])
def test_samples_are_of_their_fields_and_follow_the_seed(name):
    built, spec = engine(name), spec_of(name)
    state, options = built.init(), built.model.Options()
    needed = {"label"} | set(built.model.needs(built.model.check(options)))
    keys = {key for field in needed & spec.fields.keys() for key in spec.fields[field].arrays(field)} | {"index"}
    conditions = {key: value[:5] for key, value in batch(name).items() if key in keys}
    out = built.sample(state, conditions, 0, options)
    fields = built.model.outputs(spec)
    assert fields and set(fields) <= set(out)
    for key, field in fields.items():
        if isinstance(field, Image):
            chex.assert_shape(out[key], (5, *field.shape))
            assert np.abs(out[key]).max() <= 1
        if isinstance(field, Tokens):
            assert out[key].min() >= 0 and out[key].max() < field.vocabulary
            assert not field.ragged or out[f"{key}_length"].max() <= out[key].shape[1]
        if isinstance(field, Label):
            assert out[key].min() >= 0 and out[key].max() < field.classes
    chex.assert_trees_all_equal(out, built.sample(state, conditions, 0, options))
    if SYSTEMS[name].seeded:
        first = next(iter(fields))
        assert not np.array_equal(out[first][0], out[first][1])
        other = built.sample(state, conditions, 1, options)[first]
        assert out[first].shape != other.shape or not np.array_equal(out[first], other)


@pytest.mark.parametrize("name", ALL)
def test_evaluate_ignores_rows_that_are_not_valid(name):
    built = engine(name)
    state = built.init()
    valid = np.arange(BATCH) < 7
    data = dict(batch(name)) | {"valid": valid}
    if "tokens" in data:
        data["bytes"] = np.ones((BATCH, data["tokens"].shape[1] - 1), np.int32)
    changed = {
        key: np.where(valid.reshape(-1, *[1] * (value.ndim - 1)), value, 0).astype(value.dtype)
        if key in spec_of(name).fields
        else value
        for key, value in data.items()
    }
    first, second = built.evaluate(state, data, 0), built.evaluate(state, changed, 0)
    assert first
    chex.assert_trees_all_close(first, second, rtol=1e-6)
    whole = built.evaluate(state, data | {"valid": valid | True}, 0)
    for key, term in first.items():
        assert np.isfinite(term.total).all() and (0 < term.count < whole[key].count or term.count in (0, 1))


@pytest.mark.parametrize("name", ALL)
def test_a_turn_changes_only_the_entries_it_trains(name):
    built = engine(name)
    for turn in built.model.turns:
        before, state = jax.device_get(built.init()), built.init()
        after, [metrics] = built.step(state, [built.put(batch(name))], [(turn.name,)])
        after = jax.device_get(after)
        for entry in before.params:
            if entry in turn.trains:
                if turn.gradient:
                    norm = metrics[f"grad_norm/{turn.name}/{entry}"]
                    assert np.isfinite(norm) and norm > 0
                with pytest.raises(AssertionError):
                    chex.assert_trees_all_equal(before.params[entry], after.params[entry])
            else:
                chex.assert_trees_all_equal(before.params[entry], after.params[entry])
                if entry in before.opt_state:
                    chex.assert_trees_all_equal(before.opt_state[entry], after.opt_state[entry])
                if entry in before.ema.params:
                    chex.assert_trees_all_equal(before.ema.params[entry], after.ema.params[entry])


@pytest.mark.parametrize("name", costly(but=("gan", "vqvae", *ONE_ENTRY)))
def test_frozen_entries_never_change_and_have_no_optimizer(name):
    entries = sorted({entry for turn in TINY[name].model.turns for entry in turn.trains})
    if len(entries) == 1:
        with pytest.raises(Exception, match="nothing to train"):
            engine(name, freeze=tuple(entries))
        return
    for frozen in entries:
        built = engine(name, freeze=(frozen,))
        assert frozen not in built.abstract_state.opt_state and frozen not in built.abstract_state.ema.params
        before = jax.device_get(start(name, built).params[frozen])
        chex.assert_trees_all_equal(before, history(name, 3, freeze=(frozen,))[0][frozen])


@pytest.mark.parametrize("name", ALL)
def test_each_turns_loss_falls_on_a_fixed_batch(name):
    built = engine(name)
    for turn in built.model.turns:
        state, data = built.init(), built.put(batch(name))
        values = []
        for _ in range(40):
            # the same noise at each step: the step's number is put back, where the compiled step has it
            first = state.replace(step=jax.device_put(np.int32(0), built.shardings.step))
            state, [metrics] = built.step(first, [data], [(turn.name,)])
            values.append(float(metrics[f"{turn.name}/loss"]))
        assert np.mean(values[-5:]) < np.mean(values[:5])


@pytest.mark.parametrize("name", costly(UNCOUPLED, but=("gpt",)))
def test_accumulation_over_four_micro_batches_equals_the_whole_batch(name):
    assert_same(history(name, grad_accumulation=4), history(name))


@pytest.mark.parametrize("name", costly())
def test_pmap_on_two_devices_equals_one_device(name):
    """With two micro-batches each, where the loss is one of examples: parts of both kinds in one program."""
    assert_same(history(name, devices=2, backend="pmap", grad_accumulation=1 + (name in UNCOUPLED)), history(name))


@pytest.mark.parametrize("name", costly())
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(name):
    built, reference = engine(name, precision="bfloat16"), engine(name)
    assert built.model.dtype == "bfloat16"
    due = due_turns(built.experiment, 0)
    after, _ = jax.eval_shape(built.compile_steps((due,)), built.abstract_state, (built.put(batch(name)),))
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    state = reference.init()
    given, pairs = (state.model_state, batch(name), jax.random.key(0)), []
    moved = jax.tree.map(lambda x: x + 0.1, state.params)  # a network whose last layer begins at zero differs only then
    for turn in due:
        for params in (state.params, moved):
            pairs.append([float(loss_of(one.model, turn)(params, *given).loss) for one in (built, reference)])
        np.testing.assert_allclose(*pairs[-2], rtol=5e-2)
    assert any(half != whole for half, whole in pairs if np.isfinite(whole))
    assert "bf16" in loss_of(built.model, built.model.turns[0].name).lower(state.params, *given).as_text()


MESHES = {"8": Mesh(data=8), "2x4": Mesh(data=2, fsdp=4), "pmap": Mesh(data=8)}


@pytest.mark.parametrize("name", costly())
def test_a_mesh_of_data_fsdp_and_tensor_gives_the_losses_of_one_device(name):
    assert_same(history(name, devices=8, mesh=Mesh(data=2, fsdp=2, tensor=2)), history(name))


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", ALL)
def test_twenty_steps_on_other_meshes_give_the_losses_of_one_device(name, mesh):
    backend = "pmap" if mesh == "pmap" else "jit"
    ours, reference = history(name, 20, 8, MESHES[mesh], backend=backend), history(name, 20)
    np.testing.assert_allclose(np.concatenate(ours[2]), np.concatenate(reference[2]), rtol=1e-5, atol=1e-6)


def test_importing_the_models_loads_no_trainer_data_or_checkpoint_library():
    heavy = ["tensorflow_datasets", "grain", "orbax", "tensorflow", "torch", "sklearn", "tyro", "matplotlib"]
    code = f"import sys, genjax.models, genjax.nn; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ALL)
def test_models_are_hashable_and_survive_json(name):
    experiment = tiny(name)
    hash(experiment.model)
    config = json.loads(json.dumps(recipes.to_dict(experiment, name, spec_of(name))))
    assert recipes.from_dict(config) == (experiment, spec_of(name))
