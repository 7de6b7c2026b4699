"""Recipes and their JSON form: everything comes back, and what cannot is refused in one line."""

import dataclasses
import json
import signal
from typing import ClassVar

import flax.linen as nn
import pytest

from genjax import plain, recipes
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, EntryOptim, Eval, Experiment, Optim, Task, Train
from genjax.models.base import Model, Turn
from genjax.orders import Buckets, Uniform
from genjax.registry import KINDS, register
from genjax.spec import DataSpec, Image, Label, Latent, Tokens

SPEC = DataSpec(
    {
        "image": Image(8, 8, 1),
        "label": Label(2, ("a", "b")),
        "latent": Latent(2, 2, 4, std=0.5, image=Image(8, 8, 1)),
        "tokens": Tokens((8, 16), 256, optional=True),
    },
    train_examples=100,
)


@dataclasses.dataclass(frozen=True)
class Net:
    """Base of two networks."""


@dataclasses.dataclass(frozen=True)
class NarrowNet(Net):
    widths: tuple[int, ...] = (8,)


@dataclasses.dataclass(frozen=True)
class WideNet(Net):
    widths: tuple[tuple[int, float], ...] = ((8, 0.5), (16, 1.0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(Model):
    network: Net = NarrowNet()
    either: NarrowNet | WideNet = WideNet()
    maybe: Net | None = None
    rate: float = 1.0

    turns: ClassVar = (Turn("learn", trains=("net",)),)

    def networks(self):
        return {"net": nn.Dense(3)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrapper(Model):
    """A model around a model, as adapters and latent spaces have it."""

    model: Model
    rank: int = 4


@pytest.fixture(autouse=True)
def kinds():
    """The registered classes, with those above, for the length of a test."""
    before = dict(KINDS)
    for cls in (NarrowNet, WideNet, Small, Wrapper):
        register(cls)
    yield KINDS
    KINDS.clear()
    KINDS.update(before)


def stored(experiment: Experiment) -> dict:
    return json.loads(json.dumps(recipes.to_dict(experiment, "custom", SPEC), allow_nan=False))


EXPERIMENTS = {
    "subclasses and unions": Experiment(model=Small(network=WideNet(((1, 0.25),)), either=NarrowNet((1, 2)))),
    "an optional one": Experiment(model=Small(maybe=NarrowNet()), data=Data(order=Buckets(), fields=("a=b",))),
    "a wrapped model": Experiment(model=Wrapper(model=Wrapper(model=Small(network=WideNet()), rank=2))),
    "dicts of dataclasses": Experiment(
        model=Small(),
        optim=Optim(entries={"net": EntryOptim(learning_rate=0.5)}),
        eval=Eval(tasks={"other": Task(data=Data(order=Uniform()), metrics=("swd",)), "own": Task(split="test")}),
        train=Train(ema_power=(0.05, 0.1)),
    ),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_comes_back_from_json(name):
    experiment = EXPERIMENTS[name]
    assert recipes.from_dict(stored(experiment)) == (experiment, SPEC)
    recipes.check_round_trip(experiment, SPEC)


def test_types_are_named_where_the_declaration_leaves_them_open():
    config = stored(Experiment(model=Wrapper(model=Small())))
    assert config["format"] == 2 and config["system"] == "Wrapper" and "type" not in config["model"]
    inner = config["model"]["model"]
    assert inner["type"] == "Small" and inner["network"] == {"type": "NarrowNet", "widths": [8]}
    assert inner["either"]["type"] == "WideNet" and config["spec"]["fields"]["image"]["type"] == "Image"
    assert "type" not in config["spec"]["fields"]["latent"]["image"] and "type" not in config["train"]["gradient"]


def changed(path: str, value) -> dict:
    """A stored experiment with one value replaced; ... removes it."""
    config = stored(Experiment(model=Wrapper(model=Small()), optim=Optim(entries={"net": EntryOptim()})))
    *places, last = path.split(".")
    section = config
    for place in places:
        section = section[place]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return config


WRONG = [
    ("train.steps", "many", '"many", and must be a whole number'),
    ("train.steps", 1.5, "1.5, and must be a whole number"),
    ("train.steps", True, "true, and must be a whole number"),
    ("train.steps", 10**30, "must be a whole number"),
    ("train.ema_decay", float("nan"), "NaN, and must be a finite number"),
    ("train.ema_decay", float("inf"), "Infinity, and must be a finite number"),
    ("train.ema_decay", None, "null, and must be a finite number"),
    ("train.freeze", "net", "must be a list"),
    ("train.freeze", [1], "must be text"),
    ("train", [], "must be an object"),
    ("optim.name", "adm", 'must be one of "adam"'),
    ("optim.entries.net.b1", "x", "must be a finite number"),
    ("eval.examples", "all", "must be a whole number"),
    ("data.order", {"type": "Epoch"}, 'unknown type "Epoch": there are Buckets'),
    ("data.order", {"type": "Small"}, 'names the type "Small", which does not fit'),
    ("data.order", {"type": ["Epochs"]}, "has the unknown type"),
    ("data.order", {}, "has the unknown type null"),
    ("model.rnk", 3, "that Wrapper does not know: perhaps rank is meant"),
    ("model.model", ..., "is missing: Wrapper needs an object"),
    ("model.model.either", {"type": "Image"}, "does not fit"),
    ("model.model.network.widths", [[1]], "must be a whole number"),
    ("spec.fields.image.width", ..., "is missing: Image needs a whole number"),
    ("spec", None, "must be an object"),
]


@pytest.mark.parametrize("path, value, words", WRONG, ids=[f"{path}={value}" for path, value, _ in WRONG])
def test_a_wrong_value_is_named_with_its_file_and_what_is_wanted(path, value, words):
    with pytest.raises(UserError) as error:
        recipes.from_dict(changed(path, value), "runs/x/config.json")
    line = str(error.value)
    assert line.startswith(f"runs/x/config.json: {path}") and words in line and "\n" not in line


def test_a_pair_has_as_many_values_as_it_says():
    pair = dataclasses.make_dataclass("Pair", [("pair", tuple[int, str])], frozen=True)
    assert plain.read(pair, {"pair": [1, "a"]}, "x.json") == pair((1, "a"))
    for wrong in ([1], [1, "a", 2], ["a", 1]):
        with pytest.raises(UserError, match=r"x\.json: pair"):
            plain.read(pair, {"pair": wrong}, "x.json")


@pytest.mark.parametrize("version", [..., 1, "2", 3])
def test_a_config_of_another_format_says_what_to_do(version):
    with pytest.raises(UserError, match=r"another version of genjax .*--train.init-from runs/x/weights.safetensors"):
        recipes.from_dict(changed("format", version), "runs/x/config.json")


def test_what_is_not_registered_is_refused_with_the_cure():
    @dataclasses.dataclass(frozen=True)
    class Unknown(Net):
        pass

    for model in (Small(network=Unknown()), Wrapper(model=Small(maybe=Unknown()))):
        with pytest.raises(UsageError, match=r"model\..*Unknown is not registered.*decorate it with @genjax\.register"):
            recipes.check_round_trip(Experiment(model=model), SPEC)


@pytest.mark.parametrize(
    "model, words",
    [
        (Small(rate=float("nan")), "model.rate is NaN"),
        (Small(rate=Small), "model.rate is a type"),
        (Small(network=NarrowNet([8])), "model.network.widths does not come back"),
        (Small(rate="fast"), 'model.rate is "fast", and must be a finite number'),
    ],
)
def test_what_json_does_not_bring_back_is_refused_before_the_first_step(model, words):
    with pytest.raises(UsageError, match=r"cannot be stored|cannot hold") as error:
        recipes.check_round_trip(Experiment(model=model), SPEC)
    assert words in str(error.value)


RECIPE = '''"""Mine."""
import dataclasses
import genjax
from genjax import models
from genjax.models.base import Model

{ran}
@models.register
@dataclasses.dataclass(frozen=True, kw_only=True)
class {name}(Model):
    extra: int = {extra}

experiment = genjax.Experiment(model={name}())
'''


def test_reading_a_config_runs_no_recipe(tmp_path, kinds):
    recipe, ran = tmp_path / "mine.py", tmp_path / "ran"
    recipe.write_text(RECIPE.format(ran=f"open({str(ran)!r}, 'a').write('x')", name="Foreign", extra=3))
    experiment = recipes.load_experiment(recipe)
    config = json.loads(json.dumps(recipes.to_dict(experiment, str(recipe), SPEC)))
    assert ran.read_text() == "x" and config["recipe"] == str(recipe)
    assert recipes.from_dict(config) == (experiment, SPEC)
    del kinds["Foreign"]
    with pytest.raises(UserError, match=rf"'Foreign', which is not registered.*--recipe '{recipe}'"):
        recipes.from_dict(config)
    assert ran.read_text() == "x"


def test_a_copy_of_a_recipe_is_the_same_recipe_and_an_edited_one_another(tmp_path):
    recipe, copy = tmp_path / "mine.py", tmp_path / "recipe.py"
    recipe.write_text(RECIPE.format(ran="", name="Copied", extra=3))
    copy.write_bytes(recipe.read_bytes())
    first = recipes.load_experiment(recipe)
    assert recipes.load_experiment(copy) == first
    recipe.write_text(RECIPE.format(ran="", name="Copied", extra=4))
    assert recipes.load_experiment(recipe).model.extra == 4
    other = tmp_path / "other.py"
    other.write_text(RECIPE.format(ran="", name="Copied", extra=5))
    with pytest.raises(UsageError, match=r"other\.py', line 8, fails: UsageError: the name Copied is taken"):
        recipes.load_experiment(other)


@pytest.mark.parametrize(
    "body, words",
    [
        ("1 / 0", "ZeroDivisionError"),
        ("(", "SyntaxError"),
        ("exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('done')", "BaseException: done"),
        ("(f := lambda: f())()", "RecursionError"),
    ],
)
def test_a_recipe_that_fails_is_named_with_its_line(tmp_path, body, words):
    recipe = tmp_path / "broken.py"
    recipe.write_text(f'"""Broken."""\n\n{body}\n')
    with pytest.raises(UsageError, match=rf"broken\.py', line 3, fails: {words}"):
        recipes.load_experiment(recipe)


def test_a_recipe_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "SECONDS", 1)
    recipe = tmp_path / "endless.py"
    recipe.write_text('"""Endless."""\n\nwhile True:\n    x = 1\n')
    with pytest.raises(UsageError, match=r"endless\.py', line [34], fails: TimeoutError: it has run for 1 seconds"):
        recipes.load_experiment(recipe)
    assert signal.alarm(0) == 0


@pytest.mark.parametrize(
    "section, words",
    [
        ("data=Data(batch_size='many')", r'data\.batch_size is "many", and must be a whole number'),
        ("train=Train(steps=1.5)", r"train\.steps is 1\.5, and must be a whole number"),
        ("optim=Optim(learning_rate=float('nan'))", r"optim\.learning_rate is NaN, and must be a finite number"),
        ("optim=Optim(name='sdg')", r"optim\.name is \"sdg\", and must be one of"),
        ("train=None", "train is null, and must be an object"),
        ("eval=Eval(tasks={'a': Task(data=3)})", "must be an object"),
        ("data=Data(path=object())", r"data\.path is a object, which cannot be stored"),
    ],
)
def test_the_values_of_a_recipe_are_of_their_types(tmp_path, section, words):
    recipe = tmp_path / "typed.py"
    recipe.write_text(
        "from genjax.experiment import Data, Eval, Experiment, Optim, Task, Train\n"
        f"from genjax.models import VAE\nexperiment = Experiment(model=VAE(), {section})\n"
    )
    with pytest.raises(UsageError, match=rf"typed\.py': .*{words}"):
        recipes.load_experiment(recipe)


def test_nesting_has_an_end():
    with pytest.raises(UserError, match="nested too deeply"):
        nested: object = 0
        for _ in range(900):
            nested = {"type": "Wrapper", "model": nested}
        recipes.from_dict(changed("model.model", nested))
