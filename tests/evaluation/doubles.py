"""Small systems that need one part of evaluation each, and data in memory."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.data import Dataset
from genjax.engine.engine import Engine
from genjax.errors import UsageError
from genjax.experiment import Data, Eval, Experiment
from genjax.models.base import LabelOptions, LossOutput, Model, SampleOptions, Term, Turn, valid_rows
from genjax.spec import DataSpec, Image, Label, Latent, Tokens

IMAGE, TEXT = Image(8, 8, 1), Tokens((5,), 9, ragged=True, end=0)
PICTURES = DataSpec({"image": IMAGE, "label": Label(3)})
DOMAINS = DataSpec({"image_a": IMAGE, "image_b": IMAGE})
PAIRS = DataSpec({"question": TEXT, "answer": TEXT})


@dataclasses.dataclass(frozen=True)
class Rows:
    """A split in memory; the rows whose number is in `torn` cannot be read."""

    arrays: dict[str, np.ndarray]
    torn: tuple[int, ...] = ()
    reads: list = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def gather(self, ids_B, draws=None, lengths: Mapping[str, int] = {}):
        self.reads.append(len(ids_B))
        return {name: array[ids_B] for name, array in self.arrays.items()} | {"valid": ~np.isin(ids_B, self.torn)}


def rows(spec: DataSpec, count: int, seed: int = 0, torn: tuple[int, ...] = ()) -> Rows:
    batch = spec.random_batch(count, seed)
    del batch["index"]
    return Rows(batch, torn)


def dataset(spec: DataSpec, train: int = 24, validation: int = 10, torn=(), **more) -> Dataset:
    return Dataset(spec, rows(spec, train, 1), rows(spec, validation, 2, torn), **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain(Model):
    """One entry, "net", and nothing to sample. `evaluate` gives the means of the index, and a metric of nothing."""

    turns = (Turn("learn", trains=("net",)),)
    weight: float = 1.0

    def networks(self):
        return {"net": nn.Dense(1)}

    def init(self, key, spec, batch_size=1):
        return {"net": {"scale": jnp.ones(())}}, {}

    def loss(self, turn, params, state, batch, key, *, step, train):
        return LossOutput({"loss": Term.mean(params["net"]["scale"] * batch["index"])}, {}, state)

    def evaluate(self, params, state, batch, key):
        valid_B = valid_rows(batch)
        share = Term(jnp.sum(valid_B) * 0.06, jnp.sum(valid_B) * 0.05, self.weight)
        return {"share": share, "nothing": Term.mean(valid_B, 0 * valid_B), "rows": Term.mean(valid_B, valid_B)}


@dataclasses.dataclass(frozen=True)
class PaintOptions(LabelOptions):
    init: str | None = None
    mask: str | None = None

    def conditions(self, model, given, num):
        arrays, options = super().conditions(model, given, num)
        if self.init:
            image = given.image(self.init, "--init", (8, 8, 1))
            arrays |= {"init": np.repeat(image[None], num, axis=0)}
            mask = given.mask(self.mask, "--mask", self.init, (8, 8, 1))
            arrays |= {"mask": np.repeat(mask[None], num, axis=0)}
        return arrays, dataclasses.replace(options, init=None, mask=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Painter(Plain):
    """Images of noise, shifted by their label."""

    conditional: bool = True
    Options: ClassVar = PaintOptions
    metrics: ClassVar = ("swd",)

    def outputs(self, spec):
        return {"image": IMAGE}

    def sample(self, params, state, key, conditions, options):
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(conditions["index"])
        noise = jax.vmap(lambda key: jax.random.uniform(key, IMAGE.shape, minval=-1.0))(keys)
        return {"image": noise + conditions["label"][:, None, None, None]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translator(Plain):
    """From image_a to image_b: a copy."""

    def needs(self, options):
        return ("image_a",)

    def outputs(self, spec):
        return {"image_b": IMAGE}

    def sample(self, params, state, key, conditions, options):
        return {"image_b": conditions["image_a"] * params["net"]["scale"]}


@dataclasses.dataclass(frozen=True)
class AnswerOptions(SampleOptions):
    label: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answerer(Plain):
    """From question to answer: a copy."""

    Options: ClassVar = AnswerOptions

    def check(self, options):
        if 99 in options.label:
            raise UsageError("--label 99: out of the question")
        return options

    def needs(self, options):
        return ("question",)

    def outputs(self, spec):
        return {"answer": TEXT}

    def sample(self, params, state, key, conditions, options):
        return {"answer": conditions["question"], "answer_length": conditions["question_length"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantizer(Plain):
    """A first stage of ids: how bright each quarter of a picture is, of 4."""

    @property
    def code(self):
        return Tokens((4,), 4)

    def encode(self, params, state, batch, key):
        quarters_B22 = batch["image"].reshape(-1, 2, 4, 2, 4).mean((2, 4))
        return jnp.floor(2 + 20 * quarters_B22.reshape(-1, 4)).clip(0, 3).astype(jnp.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blurrer(Plain):
    """A first stage of latents (4, 4, 1): the mean of each 2 x 2 pixels, and the standard deviation 1/2."""

    @property
    def code(self):
        return Latent(4, 4, 1, std=1.0, image=IMAGE)

    def encode(self, params, state, batch, key):
        mean = params["net"]["scale"] * batch["image"].reshape(-1, 4, 2, 4, 2).mean((2, 4))[..., None]
        return jnp.concatenate([mean, jnp.full_like(mean, -2 * jnp.log(2.0))], axis=-1)


def engine(model: Model, spec: DataSpec, batch_size: int = 4, **evaluation) -> Engine:
    experiment = Experiment(model, Data(batch_size=batch_size), eval=Eval(**evaluation))
    return Engine(experiment, spec, jax.devices()[:1])
