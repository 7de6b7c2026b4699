"""Weights and state that come back: whole runs, and what another run starts from."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs.trained import SPEC, Normed, Staged, engine, write_run

import genjax
from genjax.errors import UsageError, UserError
from genjax.models import LoRA
from genjax.registry import KINDS
from genjax.runs.initialize import initialize_from, load_weights, tokenizer_for
from genjax.runs.restore import open_run
from genjax.runs.sources import parse
from genjax.runs.weights import export_weights, load_safetensors, write_arrays


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    for cls in (Normed, Staged):
        monkeypatch.setitem(KINDS, cls.__name__, cls)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", Normed(), {1: {"loss": 1.0}, 2: {"loss": 2.0}}, ema_decay=0.9)


def values(tree) -> set[float]:
    """The different numbers in a tree."""
    return {float(value) for leaf in jax.tree.leaves(tree) for value in np.unique(leaf)}


def test_restore_unpacks_into_three_and_has_more(run):
    model, params, state = restored = genjax.restore(run)
    assert (model, params, state) == (restored[0], restored[1], restored[2])
    assert type(model) is Normed and values(params) == values(state) == {2.0}
    assert restored.spec == SPEC and restored.tokenizer is None and restored.params is params
    assert "Normed" in repr(restored) and "rray" not in repr(restored)  # a notebook shows it in a line
    assert values(genjax.restore(run, checkpoint="best").params) == {1.0}
    assert values(genjax.restore(run, "1", ema=False)[1]) == {1.0}


def test_a_model_that_wraps_a_model_is_restored(tmp_path):
    run = write_run(tmp_path / "run", Staged(first_stage=Normed(width=5)), {1: {}}, init_from=("first_stage=x",))
    restored = genjax.restore(run)
    assert restored.model.first_stage == Normed(width=5) and set(restored.params) == set(restored.model.networks())


def test_exported_weights_carry_state_and_say_what_they_are(run, tmp_path):
    from safetensors import safe_open

    opened = open_run(run)
    file = export_weights(opened.engine.model, opened.state, tmp_path / "new" / "w.safetensors")
    params, state = load_safetensors(file)
    assert values(params) == {2.0} and values(state) == {2.0}
    for got, want in ((params, opened.state.params), (state, opened.state.model_state)):
        assert jax.tree.map(lambda x: (x.shape, x.dtype), got) == jax.tree.map(lambda x: (x.shape, x.dtype), want)
    with safe_open(file, framework="numpy") as arrays:
        about = {"system": "Normed", "step": "2", "genjax": genjax.__version__}
        assert about.items() <= arrays.metadata().items() and "state:encoder/mean" in arrays.keys()  # noqa: SIM118


def start(model, *sources: str, **train):
    made = engine(model, init_from=sources, **train)
    return initialize_from(made.init(), sources, made)


@pytest.mark.parametrize("form", ["run", "file"])
@pytest.mark.parametrize("source", ["{}", "first_stage={}"])
def test_a_first_stage_comes_with_its_state(run, tmp_path, form, source):
    opened = open_run(run)
    file = export_weights(opened.engine.model, opened.state, tmp_path / "w.safetensors")
    state = start(Staged(), source.format(run if form == "run" else file))
    stage = {name: x for name, x in state.params.items() if name.startswith("first_stage.")}
    assert len(stage) == 2 and values(stage) == {2.0} and values(state.params["head"]) != {2.0}
    assert values(state.model_state["first_stage.encoder"]) == {2.0}
    assert state.model_state["first_stage.encoder"]["count"].dtype == jnp.int32


def test_one_entry_may_come_from_another_and_averages_follow(run):
    state = start(Normed(), f"encoder={run}", ema_decay=0.9)
    assert values(state.params["encoder"]) == values(state.ema.params["encoder"]) == {2.0}
    assert values(state.model_state["encoder"]) == values(state.ema.state["encoder"]) == {2.0}
    assert values(state.params["decoder"]) != {2.0}
    wide = start(Normed(width=4), f"encoder={run}:decoder")  # of the same shape there
    assert values(wide.params["encoder"]) == {2.0} and values(wide.model_state["encoder"]) == {0.0}


def test_what_starts_from_an_adapted_model_gets_its_weights_adapted(tmp_path):
    adapted = LoRA(base=Normed(), rank=1, alpha=1.0)
    run = write_run(tmp_path / "lora", adapted, {2: {}}, init_from=("x",))
    merged = start(Normed(), str(run)).params
    assert values(merged["encoder"]["kernel"]) == {6.0} and values(merged["encoder"]["bias"]) == {2.0}  # 2 + 2 x 2
    again = start(adapted, str(run)).params  # goes on learning where it was
    assert values(again) == {2.0} and set(again) == {"encoder", "decoder", "lora.encoder", "lora.decoder"}


def test_files_of_before_have_no_state_which_is_said(run, tmp_path, capsys):
    params, _ = load_weights(parse(str(run)), Normed())
    flat = {f"{entry}/{name}": np.asarray(x) for entry, tree in params.items() for name, x in tree.items()}
    file = write_arrays(flat, tmp_path / "old.safetensors")
    state = start(Normed(), str(file))
    assert values(state.params) == {2.0} and values(state.model_state) == {0.0}
    assert "no model state for encoder: its statistics stay as they start" in capsys.readouterr().err


def test_what_does_not_fit_is_named(run, tmp_path):
    wrong = [
        (Normed(width=5), f"{run}", UserError, r"encoder\['bias'\] has shape \(3,\) in .*, \(5,\) here"),
        (Staged(), f"head={run}", UsageError, "it has decoder, encoder, and"),
        (Normed(), f"encoder={run}:trunk", UsageError, "it has decoder, encoder, and"),
        (Normed(), f"{tmp_path}/none", UserError, "is not a run directory"),
        (Normed(), f"{tmp_path}/none.safetensors", UserError, r"none\.safetensors: cannot be read"),
    ]
    for model, source, error, words in wrong:
        with pytest.raises(error, match=words):
            start(model, source)
    partial = write_arrays({"encoder/bias": np.zeros(3)}, tmp_path / "partial.safetensors")
    with pytest.raises(UserError, match=r"has no encoder\['kernel'\]"):
        start(Normed(), f"encoder={partial}")
    with pytest.raises(UserError, match=r"it has nothing for first_stage\.decoder, only encoder"):
        start(Staged(), f"first_stage={partial}")


def test_a_run_of_a_class_that_is_not_registered_names_the_cure(run, monkeypatch):
    monkeypatch.delitem(KINDS, "Normed")
    with pytest.raises(UserError, match=r"'Normed', which is not registered.*--recipe"):
        genjax.restore(run)


@pytest.mark.parametrize("place", ["", "weights.safetensors"])
def test_a_tokenizer_comes_from_the_run_that_one_starts_from(tmp_path, place):
    def saved(name: str, characters: str):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({"kind": "char", "characters": characters}))
        return str(tmp_path / name / place)

    first, same, other = saved("a", "abc"), saved("b", "abc"), saved("c", "cba")
    out = tmp_path / "out"
    assert tokenizer_for(out, ()) is None and tokenizer_for(out, (str(tmp_path / "nowhere"),)) is None
    assert tokenizer_for(out, (first, f"net={same}:net")).characters == "abc"
    with pytest.raises(UsageError, match="different tokenizers"):
        tokenizer_for(out, (first, other))
    saved("out", "xyz")
    assert tokenizer_for(out, (first,)).characters == "abc"  # of a run that never saved, and so starts anew
    (out / "checkpoints" / "5").mkdir(parents=True)
    assert tokenizer_for(out, (first, other)).characters == "xyz"
