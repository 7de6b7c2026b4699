"""What every system must keep, whatever it learns."""

import dataclasses
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import BATCH, BATCH_COUPLED, TINY, batch, engine, spec_of, tiny

from genjax import models
from genjax.engine.step import due_turns
from genjax.experiment import Mesh
from genjax.models.base import Model

ALL = sorted(TINY)
# Networks that take minutes to compile in all the forms below, and second variants of a system: the tests that cost
# most run on them among the slow ones.
LARGE = {"vae-spatial", "diffusion-unet", "latent-diffusion"}
VARIANTS = {"vae", "gpt-llama"}


def costly(names: list[str], slow: set[str] = LARGE | VARIANTS) -> list:
    """The names, those of `slow` marked as such."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]


def all_turns(model: Model) -> tuple[str, ...]:
    return tuple(turn.name for turn in model.turns)


def run_steps(built, name: str, steps: int, fixed: bool = False):
    """(state, list of metrics) after `steps` steps on synthetic batches."""
    state, history = built.init(), []
    for step in range(steps):
        data = built.put(batch(name, 0 if fixed else step))
        state, [metrics] = built.step(state, [data], [due_turns(built.experiment, step)])
        history.append(jax.device_get(metrics))
    return state, history


def losses(history: list[dict]) -> np.ndarray:
    return np.concatenate([[v for k, v in sorted(m.items()) if k.endswith("/loss")] for m in history])


def test_every_registered_system_is_covered():
    assert {type(experiment.model).__name__ for experiment in TINY.values()} == set(models.SYSTEMS)


@pytest.mark.parametrize("name", ALL)
def test_init_has_float32_parameters_for_every_network_and_is_deterministic(name):
    built = engine(name)
    state, again = built.init(), built.init()
    assert set(state.params) == set(built.model.networks())
    chex.assert_trees_all_equal(state.params, again.params)
    for leaf in jax.tree.leaves(state.params):
        assert leaf.dtype == jnp.float32
    trained = {entry for turn in built.model.turns for entry in turn.trains}
    assert set(state.opt_state) == trained <= set(state.params)


@pytest.mark.parametrize("name", ALL)
def test_loss_is_a_finite_float32_mean_over_its_weight(name):
    built = engine(name)
    state = built.init()
    for turn in all_turns(built.model):
        out = built.model.loss(
            turn,
            state.params,
            state.model_state,
            batch(name),
            jax.random.key(0),
            step=jnp.int32(0),
            train=True,
        )
        chex.assert_shape((out.loss, out.weight), ())
        chex.assert_tree_all_finite((out.loss, out.weight, out.metrics))
        assert out.loss.dtype == jnp.float32
        assert out.weight == (BATCH * 16 if "tokens" in batch(name) else BATCH)
        chex.assert_trees_all_equal_structs(out.state, state.model_state)


@pytest.mark.parametrize("name", ALL)
def test_samples_have_the_shape_and_range_of_the_data_and_follow_the_seed(name):
    built, spec = engine(name), spec_of(name)
    state = built.init()
    conditions = {"index": np.arange(5, dtype=np.int32), "label": np.arange(5, dtype=np.int32)}
    if spec.image_shape is None:
        conditions = {k: v for k, v in conditions.items() if k != "label"}
    options = built.model.Options()
    out = built.sample(state, conditions, 0, options)
    if spec.image_shape is not None:
        chex.assert_shape(out["image"], (5, *spec.image_shape))
        assert np.abs(out["image"]).max() <= 1
        values = out["image"]
    else:
        assert out["tokens"].min() >= 0 and out["tokens"].max() < spec.vocabulary
        assert out["length"].max() <= out["tokens"].shape[1]
        values = out["tokens"]
    assert not np.array_equal(values[0], values[1])
    chex.assert_trees_all_equal(out, built.sample(state, conditions, 0, options))
    other = built.sample(state, conditions, 1, options)
    assert not np.array_equal(values, other["image" if "image" in other else "tokens"])


@pytest.mark.parametrize("name", ALL)
def test_evaluate_ignores_rows_that_are_not_valid(name):
    built = engine(name)
    state = built.init()
    data = dict(batch(name)) | {"valid": np.arange(BATCH) < 7}
    if "tokens" in data:
        data["bytes"] = np.ones((BATCH, 16), np.int32)
    changed = dict(data)
    for field in ("image", "tokens"):
        if field in data:
            changed[field] = np.where(data["valid"].reshape(-1, *[1] * (data[field].ndim - 1)), data[field], 0).astype(
                data[field].dtype
            )
    first, second = built.evaluate(state, data, 0), built.evaluate(state, changed, 0)
    assert first
    chex.assert_trees_all_close(first, second, rtol=1e-6)
    for total, count in first.values():
        assert np.isfinite(total) and count in (7, 7 * 16)


@pytest.mark.parametrize("name", ALL)
def test_a_turn_changes_only_the_entries_it_trains(name):
    built = engine(name)
    for turn in built.model.turns:
        before, state = jax.device_get(built.init()), built.init()
        after, [metrics] = built.step(state, [built.put(batch(name))], [(turn.name,)])
        after = jax.device_get(after)
        for entry in before.params:
            if entry in turn.trains:
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


@pytest.mark.parametrize("name", costly(ALL))
def test_frozen_entries_never_change_and_have_no_optimizer(name):
    entries = sorted({entry for turn in TINY[name].model.turns for entry in turn.trains})
    if len(entries) == 1:
        with pytest.raises(Exception, match="nothing to train"):
            engine(name, freeze=tuple(entries))
        return
    for frozen in entries:
        built = engine(name, freeze=(frozen,))
        before = jax.device_get(built.init())
        state, _ = run_steps(built, name, 4)
        assert frozen not in state.opt_state and frozen not in state.ema.params
        chex.assert_trees_all_equal(before.params[frozen], jax.device_get(state.params[frozen]))


@pytest.mark.parametrize("name", ALL)
def test_each_turns_loss_falls_on_a_fixed_batch(name):
    built = engine(name)
    for turn in built.model.turns:
        state, data = built.init(), built.put(batch(name))
        values = []
        for _ in range(40):
            # the same noise at each step: the step's number is put back
            state, [metrics] = built.step(state.replace(step=jnp.zeros((), jnp.int32)), [data], [(turn.name,)])
            values.append(float(metrics[f"{turn.name}/loss"]))
        assert np.mean(values[-5:]) < np.mean(values[:5])


@pytest.mark.parametrize("name", costly([n for n in ALL if n not in BATCH_COUPLED]))
def test_accumulation_over_four_micro_batches_equals_the_whole_batch(name):
    whole, whole_history = run_steps(engine(name), name, 3)
    parts, parts_history = run_steps(engine(name, grad_accumulation=4), name, 3)
    np.testing.assert_allclose(losses(whole_history), losses(parts_history), rtol=1e-5)
    chex.assert_trees_all_close(whole.params, parts.params, rtol=1e-3, atol=2e-5)


def test_accumulation_weighs_masked_tokens():
    name, results = "gpt", []
    mask = np.arange(16)[None, :] < np.arange(BATCH)[:, None]  # micro-batches of very different weight
    for accumulation in (1, 4):
        built = engine(name, grad_accumulation=accumulation)
        data = built.put(dict(batch(name)) | {"mask": mask})
        results.append(built.step(built.init(), [data], [("next_token",)])[1][0])
    chex.assert_trees_all_close(*results, rtol=1e-5)


@pytest.mark.parametrize("name", costly(ALL))
def test_pmap_equals_jit_on_two_devices(name):
    jit, jit_history = run_steps(engine(name, 2), name, 5)
    pmap, pmap_history = run_steps(engine(name, 2, backend="pmap"), name, 5)
    for a, b in zip(jit_history, pmap_history):
        chex.assert_trees_all_close(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(losses(jit_history), losses(pmap_history), rtol=1e-5)
    chex.assert_trees_all_close(jax.device_get(jit.params), jax.device_get(pmap.params), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", costly(ALL))
def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(name):
    built = engine(name, precision="bfloat16")
    assert built.model.dtype == "bfloat16"
    state, history = run_steps(built, name, 3)
    for leaf in jax.tree.leaves((state.params, state.ema)):
        assert leaf.dtype == jnp.float32
    reference = run_steps(engine(name), name, 3)[1]
    np.testing.assert_allclose(losses(history)[:1], losses(reference)[:1], rtol=5e-2)
    assert not np.array_equal(losses(history), losses(reference))
    hlo = jax.jit(
        lambda p: (
            built.model.loss(
                built.model.turns[0].name,
                p,
                state.model_state,
                batch(name),
                jax.random.key(0),
                step=0,
                train=True,
            ).loss
        )
    ).lower(state.params)
    assert "bf16" in hlo.as_text()


MESHES = {
    "2x2x2": Mesh(data=2, fsdp=2, tensor=2),
    "8": Mesh(data=8),
    "2x4": Mesh(data=2, fsdp=4),
    "pmap": Mesh(data=8),
}


@pytest.fixture(scope="module")
def single_device():
    known = {}

    def history(name):
        if name not in known:
            known[name] = losses(run_steps(engine(name), name, 20)[1])
        return known[name]

    return history


@pytest.mark.parametrize("mesh", [m if m == "2x2x2" else pytest.param(m, marks=pytest.mark.slow) for m in MESHES])
@pytest.mark.parametrize("name", costly(ALL))
def test_twenty_steps_on_a_mesh_give_the_losses_of_one_device(name, mesh, single_device):
    backend = "pmap" if mesh == "pmap" else "jit"
    _, history = run_steps(engine(name, 8, MESHES[mesh], backend=backend), name, 20)
    np.testing.assert_allclose(losses(history), single_device(name), rtol=1e-5, atol=1e-6)


def test_importing_the_models_loads_no_trainer_data_or_checkpoint_library():
    heavy = ["tensorflow_datasets", "grain", "orbax", "tensorflow", "torch", "sklearn", "tyro", "matplotlib"]
    code = f"import sys, genjax.models, genjax.nn; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ALL)
def test_models_are_hashable_and_survive_json(name):
    from genjax import recipes

    experiment = tiny(name)
    hash(experiment.model)
    import json

    config = json.loads(json.dumps(recipes.to_dict(experiment, name, spec_of(name))))
    assert recipes.from_dict(config) == (experiment, spec_of(name))
    assert dataclasses.is_dataclass(experiment.model)
