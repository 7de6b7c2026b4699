"""Command lines as values: switches, and the choice of a class."""

import dataclasses

import pytest

from genjax.command_line import choose, flags, parse, spelled_out
from genjax.errors import UsageError
from genjax.experiment import Data, Experiment
from genjax.models.base import Model
from genjax.orders import Buckets, Epochs, Order
from genjax.registry import KINDS, register


@dataclasses.dataclass(frozen=True)
class Net:
    """Base of two networks."""


@dataclasses.dataclass(frozen=True)
class NarrowNet(Net):
    widths: tuple[int, ...] = (8,)


@dataclasses.dataclass(frozen=True)
class WideNet(Net):
    widths: tuple[int, ...] = (512,)
    blocks: int = 2


@dataclasses.dataclass(frozen=True)
class PickyNet(Net):
    widths: tuple[int, ...]
    depth: int


@dataclasses.dataclass(frozen=True)
class DeepNet(Net):
    widths: tuple[int, ...] = (7,)
    depth: int = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(Model):
    network: Net = NarrowNet()
    deep: bool = False

    def __post_init__(self):
        if isinstance(self.network, WideNet) and not self.deep:
            raise UsageError("a WideNet must be deep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrapper(Model):
    model: Model


@pytest.fixture(autouse=True)
def kinds():
    before = dict(KINDS)
    for cls in (NarrowNet, WideNet, PickyNet, DeepNet, Small, Wrapper):
        register(cls)
    yield
    KINDS.clear()
    KINDS.update(before)


@dataclasses.dataclass
class Args:
    experiment: flags(Experiment)
    json: str = ""
    synthetic: bool = False


def experiment(line: str, model: Model = Small(), data: Data = Data()) -> Experiment:
    return parse("train small", Args, Args(Experiment(model, data)), line.split()).experiment


def test_a_name_chooses_the_class_and_flags_its_fields():
    assert experiment("").model.network == NarrowNet((8,))
    assert experiment("--model.network WideNet --model.deep").model.network == WideNet((512,), 2)
    assert experiment("--model.network.widths 3 4 --model.network NarrowNet").model.network == NarrowNet((3, 4))
    made = experiment("--model.network WideNet --model.network.blocks 5 --model.deep true --data.order Epochs")
    assert made.model == Small(network=WideNet((512,), 5), deep=True) and made.data.order == Epochs()


def test_choices_reach_into_models_that_wrap_models():
    model = Wrapper(model=Wrapper(model=Small()))
    made = experiment("--model.model.model.network=WideNet --model.model.model.deep", model).model
    assert made == Wrapper(model=Wrapper(model=Small(network=WideNet(), deep=True)))
    assert experiment("--model.model Small", model).model == Wrapper(model=Small())


def test_a_field_without_default_is_that_of_the_class_before():
    start = Small(network=DeepNet((1, 2), 3))
    assert experiment("--model.network PickyNet --model.network.depth 4", start).model.network == PickyNet((1, 2), 4)
    assert experiment("--model.network DeepNet", start).model.network == DeepNet((1, 2), 3)
    with pytest.raises(UsageError, match=r"PickyNet: its field depth has no default"):
        experiment("--model.network PickyNet", Small(network=NarrowNet((7,))))


def test_an_optional_field_may_be_taken_back():
    assert experiment("--data.order none", data=Data(order=Buckets())).data.order is None
    with pytest.raises(UsageError, match=r"--model\.network none: there are DeepNet, NarrowNet, PickyNet, WideNet"):
        experiment("--model.network none")


@pytest.mark.parametrize(
    "line, words",
    [
        (
            "--model.network WidNet",
            r"--model\.network WidNet: did you mean WideNet\? there are DeepNet, NarrowNet, PickyNet",
        ),
        ("--model.network Small", r"there are DeepNet, NarrowNet, PickyNet, WideNet"),
        ("--model.network", r"there are DeepNet"),
        ("--data.order Bucket", r"did you mean Buckets\?"),
        ("--model.network WideNet", "must be deep"),
        ("--model.network NarrowNet --model.network.blocks 3", "--model.network.blocks"),
    ],
)
def test_a_wrong_choice_is_one_line(line, words):
    with pytest.raises(UsageError, match=words) as error:
        experiment(line)
    assert "\n" not in str(error.value)


def test_help_names_the_choices(capsys):
    with pytest.raises(SystemExit):
        experiment("--model.network WideNet --help")
    text = capsys.readouterr().out
    assert "--model.network.blocks" in text and "--model.network may be DeepNet, NarrowNet, PickyNet, WideNet" in text
    assert "--data.order may be Buckets, Epochs" in text


def test_where_there_is_no_choice_words_stay_as_they_are():
    words = ["--data", "Data", "--json", "Small", "--data.source", "WideNet"]
    assert choose(words, Args(Experiment(Small()))) == (words, Args(Experiment(Small())))
    assert issubclass(Epochs, Order)


@pytest.mark.parametrize(
    "given, spelled",
    [
        ("--data.strict", "--data.strict True"),
        ("--data.strict --data.random_crop false", "--data.strict True --data.random_crop False"),
        ("--model.deep none --synthetic", "--model.deep None --synthetic True"),
        ("--json true --synthetic true --steps 3", "--json true --synthetic True --steps 3"),
    ],
)
def test_switches_stand_alone_or_with_a_value(given, spelled):
    assert spelled_out(given.split(), Args(Experiment(Small()))) == spelled.split()
