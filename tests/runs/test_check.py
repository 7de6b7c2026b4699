"""What a recipe may say: numbers before the data is there, names once it is."""

import dataclasses

import flax.linen as nn
import pytest

from genjax.errors import UsageError
from genjax.experiment import Data, EntryOptim, Eval, Experiment, Gradient, Optim, Task, Train
from genjax.models.base import Model, Turn
from genjax.orders import Mixture
from genjax.runs.check import check, resolve
from genjax.spec import DataSpec, Image

SPEC = DataSpec({"image": Image(8, 8, 1)}, 100, 10)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small(Model):
    norm: str = "none"
    turns = (Turn("learn", trains=("net",)),)

    def networks(self):
        return {"net": nn.Dense(3), "head": nn.Dense(1)}

    @property
    def couples_batch(self):
        return self.norm == "batch"


WRONG = [
    (dict(data=Data(batch_size=0)), "--data.batch-size 0: must be at least 1"),
    (dict(data=Data(fields=("source",))), "--data.fields source: write NAME=COLUMN"),
    (dict(data=Data(fields=("a b=en",))), "--data.fields a b=en: write NAME=COLUMN"),
    (dict(data=Data(fields=("source=",))), "write NAME=COLUMN"),
    (dict(data=Data(fields=("a=en", "b=de", "a=fr"))), "--data.fields a=en b=de a=fr: a field is given twice"),
    (dict(data=Data(fields=("index=id",))), "has an array `index` already"),
    (dict(train=Train(steps=0)), "--train.steps 0"),
    (dict(train=Train(steps=2**31)), "--train.steps 2147483648: must be below 2^31"),
    (dict(eval=Eval(examples=10**12)), "--eval.examples 1000000000000: must be below 2^31"),
    (dict(eval=Eval(grid=2**20)), "--eval.grid 1048576: must be at most"),
    (dict(train=Train(eval_every=-5)), "--train.eval-every -5: must be at least 0"),
    (dict(train=Train(seed=2**32)), "--train.seed"),
    (dict(train=Train(ema_decay=1.5)), "--train.ema-decay 1.5"),
    (dict(train=Train(ema_power=(0.1, 0.1))), "given twice"),
    (dict(train=Train(gradient=Gradient(clip_norm=0.0))), "--train.gradient.clip-norm 0.0: must be above 0"),
    (dict(train=Train(gradient=Gradient(clip_norm=float("nan")))), "--train.gradient.clip-norm nan"),
    (dict(train=Train(gradient=Gradient(noise_multiplier=-1.0))), "--train.gradient.noise-multiplier -1.0"),
    (dict(eval=Eval(examples=0)), "--eval.examples 0: must be at least 1"),
    (dict(eval=Eval(metrics=("beauty",))), "unknown metric beauty"),
    (dict(eval=Eval(tasks={"a": Task(metrics=("beauty",))})), "unknown metric beauty"),
    (dict(eval=Eval(tasks={"a": Task(examples=0)})), "--eval.tasks.a.examples 0"),
    (dict(eval=Eval(tasks={"a": Task(data=Data(batch_size=0))})), "--eval.tasks.a.data.batch-size 0"),
    (dict(eval=Eval(tasks={"a/b": Task()})), "'a/b' is no name"),
    (dict(optim=Optim(learning_rate=float("nan"))), "--optim.learning-rate nan"),
    (dict(optim=Optim(entries={"net": EntryOptim(b1=7.0)})), "--optim.entries net.b1 7.0"),
]


@pytest.mark.parametrize("sections, words", WRONG, ids=[words for _, words in WRONG])
def test_what_needs_no_data_to_be_wrong_is_refused(sections, words):
    with pytest.raises(UsageError) as error:
        check(Experiment(Small(), **sections))
    assert words in str(error.value)


@pytest.mark.parametrize(
    "train, words",
    [
        (Train(freeze=("tail",)), "--train.freeze names tail: the entries are head, net"),
        (Train(ema_entries=("tail",)), "--train.ema-entries names tail"),
        (Train(freeze=("net",)), "leaves nothing to train"),
        (Train(init_from=("tail=x",)), "the entries are head, net"),
    ],
)
def test_entries_that_the_model_has_not_are_refused(train, words):
    with pytest.raises(UsageError, match=words):
        resolve(Experiment(Small(), train=train), SPEC)


def test_single_examples_have_no_gradient_where_the_model_couples_them():
    private = Train(gradient=Gradient("per_example"))
    assert resolve(Experiment(Small(), train=private), SPEC).train == private
    with pytest.raises(UsageError, match=r"--train\.gradient\.kind per_example: this Small couples the examples"):
        resolve(Experiment(Small(norm="batch"), train=private), SPEC)


def test_a_resolved_run_does_not_depend_on_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    order = Mixture(others={"more.npz": 0.1, "digits": 0.2})
    data = Data(path="pics/", tokenizer="gpt2:vocabulary/../gpt2", source="hf:set", order=order, chat=("hf:chat",))
    experiment = Experiment(Small(), data, train=Train(init_from=("net=run",)), eval=Eval(tasks={"t": Task(data=data)}))
    made = resolve(experiment, SPEC)
    for got in (made.data, made.eval.tasks["t"].data):
        assert got.path == f"{tmp_path}/pics" and got.source == f"hf:{tmp_path}/set"
        assert got.tokenizer == f"gpt2:{tmp_path}/gpt2" and got.chat == (f"hf:{tmp_path}/chat",)
        assert got.order == Mixture(others={f"{tmp_path}/more.npz": 0.1, "digits": 0.2})
    assert made.train.init_from == (f"net={tmp_path}/run",)
    monkeypatch.chdir("/")
    assert resolve(made, SPEC) == made
    assert resolve(Experiment(Small(), Data(source="hf:mnist", path="~/pics")), SPEC).data.source == "hf:mnist"


def test_the_folder_of_a_tokenizer_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("gpt2", "bert", "hf"):
        made = resolve(Experiment(Small(), Data(tokenizer=f"{kind}:words")), SPEC)
        assert made.data.tokenizer == f"{kind}:{tmp_path}/words"
    assert resolve(Experiment(Small(), Data(tokenizer="bpe:300")), SPEC).data.tokenizer == "bpe:300"
