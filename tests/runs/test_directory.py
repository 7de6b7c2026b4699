"""The run directory: which configurations share one, and what it keeps of the recipe."""

import dataclasses
import json

import flax.linen as nn
import pytest

from genjax import recipes
from genjax.errors import UserError
from genjax.experiment import Data, Experiment, Train
from genjax.models.base import Model, Turn
from genjax.registry import KINDS
from genjax.runs.directory import load, prepare, read_config
from genjax.spec import DataSpec, Image

SPEC = DataSpec({"image": Image(8, 8, 1)}, 100, 10)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(Model):
    rate: float = 1.0
    turns = (Turn("learn", trains=("net",)),)

    def networks(self):
        return {"net": nn.Dense(3)}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setitem(KINDS, "Small", Small)


def config(recipe: str = "custom", model: Model = Small(), spec: DataSpec = SPEC, **sections) -> dict:
    return recipes.to_dict(Experiment(model, **sections), recipe, spec)


def trained(out, **changes):
    """A run directory with a checkpoint."""
    prepare(out, config(**changes))
    (out / "checkpoints" / "3").mkdir(parents=True)
    return out


def test_a_run_is_resumed_with_other_intervals_and_more_steps(tmp_path):
    run = trained(tmp_path / "run", train=Train(steps=10))
    prepare(run, config(train=Train(steps=20, log_every=3, backend="pmap"), data=Data(workers=7)))
    assert load(run) == (Experiment(Small(), Data(workers=7), train=Train(steps=20, log_every=3, backend="pmap")), SPEC)
    with pytest.raises(UserError, match=r"can grow, not shrink to 5"):
        prepare(run, config(train=Train(steps=5)))


def test_a_field_that_came_later_has_its_default_in_an_older_run(tmp_path):
    run = trained(tmp_path / "run")
    old = json.loads((run / "config.json").read_text())
    del old["data"]["strict"], old["train"]["freeze"]
    (run / "config.json").write_text(json.dumps(old))
    prepare(run, config())
    assert json.loads((run / "config.json").read_text())["train"]["freeze"] == []
    (run / "config.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"train\.freeze: \[\] there, \['a'\] here"):
        prepare(run, config(train=Train(freeze=("a",))))


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(model=Small(rate=2.0)), "model.rate: 1.0 there, 2.0 here"),
        (dict(data=Data(batch_size=8)), "data.batch_size: 64 there, 8 here"),
        (dict(train=Train(seed=1)), "train.seed: 0 there, 1 here"),
        (dict(spec=DataSpec({"image": Image(9, 8, 1)}, 100, 10)), "spec.fields"),
        (dict(data=Data(path="/")), "data.path: None there, / here"),
    ],
)
def test_another_configuration_is_refused(tmp_path, changes, words):
    run = trained(tmp_path / "run")
    before = (run / "config.json").read_bytes()
    with pytest.raises(UserError) as error:
        prepare(run, config(**changes))
    assert words in str(error.value) and (run / "config.json").read_bytes() == before


def test_data_that_has_moved_may_be_named_anew(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    run = trained(tmp_path / "run", data=Data(path=str(data)))
    moved = config(data=Data(path=str(data.with_name("moved"))))
    with pytest.raises(UserError, match=r"data\.path"):
        prepare(run, moved)  # the data is still there
    data.rename(data.with_name("moved"))
    prepare(run, moved)
    assert load(run)[0].data.path == str(data.with_name("moved"))


def test_a_run_of_another_format_is_refused_and_stays(tmp_path):
    run = trained(tmp_path / "run")
    old = read_config(run)
    del old["format"]
    (run / "config.json").write_text(json.dumps(old))
    for act in (lambda: load(run), lambda: prepare(run, config())):
        with pytest.raises(UserError, match=rf"format 1, and 2 here.*--train.init-from {run}/weights.safetensors"):
            act()
    assert read_config(run) == old


@pytest.mark.parametrize(
    ("section", "value", "words"),
    [
        ("recipe", None, "recipe is None, and must be the name or the file of the recipe"),
        ("train", {"steps": "3000"}, "train.steps"),
        ("optim", {"schedule_steps": "x"}, "optim.schedule_steps"),
    ],
)
def test_a_damaged_config_is_one_line(tmp_path, section, value, words):
    run = trained(tmp_path / "run")
    old = read_config(run)
    old[section] = value if value is None else old[section] | value
    (run / "config.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=rf"config.json.*{words}"):
        prepare(run, config())


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '"x"'])
def test_a_config_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(tmp_path)
    with pytest.raises(UserError, match="is not a run directory"):
        read_config(tmp_path / "nowhere")


def test_a_run_that_was_killed_while_it_wrote_its_configuration_begins_anew(tmp_path):
    (tmp_path / ".config.json.4711.tmp").write_text("{")
    prepare(tmp_path, config())
    assert (tmp_path / "config.json").exists()


def test_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("")
    for name, words in (("file", "is a file"), ("folder", "not empty and not a run directory")):
        with pytest.raises(UserError, match=words):
            prepare(tmp_path / name, config())


def test_a_copy_of_the_recipe_lies_in_the_run(tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text("raise SystemExit('nobody runs me')")
    prepare(tmp_path / "run", config(str(recipe)))
    assert (tmp_path / "run" / "recipe.py").read_bytes() == recipe.read_bytes()
    (tmp_path / "run" / "recipe.py").write_text("as it was begun")
    prepare(tmp_path / "run", config(str(recipe)))  # by its config.json: the recipe was not run
    assert (tmp_path / "run" / "recipe.py").read_text() == "as it was begun"
    recipe.unlink()
    prepare(tmp_path / "run", config(str(recipe)))
    recipe.write_text("experiment = 1")
    recipes.load_module(recipe)
    prepare(tmp_path / "run", config(str(recipe)))
    assert (tmp_path / "run" / "recipe.py").read_text() == "experiment = 1"
    prepare(tmp_path / "named", config("vae_digits"))
    assert (tmp_path / "named" / "recipe.py").read_bytes() == recipes.recipe_files()["vae_digits"].read_bytes()
    prepare(tmp_path / "python", config("custom"))
    assert not (tmp_path / "python" / "recipe.py").exists()


def test_the_path_of_a_recipe_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config("sub/../mine.py")["recipe"] == f"{tmp_path}/mine.py"
    assert config("vae_digits")["recipe"] == "vae_digits"
