"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): a GAN whose images tell the codes that they were made from."""

import dataclasses
import math
from typing import ClassVar, Literal, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from optax.assignment import hungarian_algorithm

from genjax.errors import UsageError
from genjax.models import images
from genjax.models.base import (
    Array,
    Batch,
    Given,
    Layout,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_agreement,
    valid_rows,
)
from genjax.models.gan.model import GAN, GANOptions
from genjax.networks.gan import Recognition
from genjax.nn import noise
from genjax.nn.apply import apply, init_networks
from genjax.registry import register
from genjax.spec import DataSpec, Label

__all__ = ["InfoGAN", "InfoGANOptions"]

STEPS = 10  # of a walk along a continuous code
REACH = 2.0  # where it ends: twice as far as the code is drawn, as in the paper's figure 2
TOGETHER = "cluster/"  # starts the names of shares that `finalize` turns into the cluster accuracy


@dataclasses.dataclass(frozen=True)
class InfoGANOptions(GANOptions):
    """walk: in each row one code takes its values in turn, and everything else stays as it is."""

    mode: Literal["prior", "walk"] = "prior"
    code: int = 0  # of a walk; the categorical codes come first, then the continuous ones

    def conditions(self, model: "InfoGAN", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Of a walk the row that each sample is in, whose noise it has, and the value of its code."""
        if self.mode == "prior":
            return super().conditions(model, given, num)
        row, step = np.divmod(np.arange(num, dtype=np.int32), len(values := model.walk(self.code)))
        return {"row": row, "value": values[step]}, self


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class InfoGAN(GAN):
    """Entries "generator", "discriminator" and "q", which reads the codes off the discriminator's last features.

    "q" is trained in the discriminator's turn. The labels of the data are not learned from: validation compares them
    with the first code (`cluster_accuracy`).
    """

    latent: int = 62  # noise beside the codes, as in appendix C.1
    categorical: tuple[int, ...] = (10,)  # values of each code that is one of several, all as likely
    continuous: int = 2  # codes drawn from U(-1, 1)
    information: float = 1.0  # lambda of equation 6, for categorical codes
    continuous_information: float = 0.1  # lambda for continuous ones, whose entropies are on another scale (section 6)
    labels: int | None = None  # classes that validation knows; None = of the data, 0 = none

    Options: ClassVar[type[SampleOptions]] = InfoGANOptions

    def __post_init__(self):
        super().__post_init__()
        if min(self.categorical, default=2) < 2 or self.continuous < 0 or not (self.categorical or self.continuous):
            raise UsageError("InfoGAN needs a code at least, and 2 values of every categorical one")
        if not min(self.information, self.continuous_information) >= 0:
            raise UsageError("InfoGAN: information and continuous_information must not be negative")
        if self.conditional:
            raise UsageError("InfoGAN finds its codes without labels: leave model.conditional out")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(
            turn._replace(trains=("discriminator", "q")) if turn.name == "discriminator" else turn
            for turn in super().turns
        )

    def resolve(self, spec: DataSpec) -> Self:
        label = spec.fields.get("label")
        labels = label.classes if isinstance(label, Label) else 0
        require_agreement(self, labels=labels)
        return dataclasses.replace(super().resolve(spec), labels=labels)

    @property
    def generator_inputs(self) -> int:
        return self.latent + sum(self.categorical) + self.continuous

    def networks(self) -> dict[str, nn.Module]:
        norm = "batch" if "discriminator" in self.network.couples_batch else "none"
        outputs = sum(self.categorical) + 2 * self.continuous
        return super().networks() | {"q": Recognition(outputs, norm, self.dtype)}

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        params, state = super().init(key, spec, batch_size)
        image = jnp.zeros((1, *self.image_shape))
        features = jax.eval_shape(lambda x: self._features(params, state, x, train=False)[0][1], image)
        inputs = {"q": (jnp.zeros(features.shape),)}
        own = init_networks(self.networks(), inputs, jax.random.fold_in(key, 3), train=False)
        return params | own[0], state | own[1]

    # The codes.

    def _codes(self, key: Array, index_B: Array) -> Array:
        """(B, all) float32: categorical codes as one-hot vectors, then the continuous ones."""
        uniform = noise.uniform(jax.random.fold_in(key, 2), index_B, (len(self.categorical) + self.continuous,))
        hot = [jax.nn.one_hot((uniform[:, i] * k).astype(jnp.int32), k) for i, k in enumerate(self.categorical)]
        return jnp.concatenate([*hot, 2.0 * uniform[:, len(self.categorical) :] - 1.0], axis=-1)

    def _latent(self, key: Array, index_B: Array) -> Array:
        return jnp.concatenate([super()._latent(key, index_B), self._codes(key, index_B)], axis=-1)

    def _features(self, params: Params, state: Tree, image: Array, train: bool):
        """((logit, last features), state) of the discriminator."""
        judged = apply(self.networks(), "discriminator", params, state, image, None, train=train, features=True)
        (logit, hidden), state = judged
        return (logit, hidden[-1]), state

    def bounds(self, answer_BQ: Array, code_BC: Array) -> list[Array]:
        """For each code (B,) nats: log Q(c | x) + H(c), whose mean is the bound on I(c; x) of equation 5.

        Q's answer has the logits of each categorical code, then the means of the continuous ones, then the logarithms
        of their standard deviations (appendix C: a factored Gaussian). H is log K of a categorical code, log 2 of U(-1,
        1).
        """
        splits, ends = np.cumsum(self.categorical), sum(self.categorical)
        bounds = [
            (jax.nn.log_softmax(logits) * hot).sum(-1) + math.log(hot.shape[-1])
            for logits, hot in zip(
                jnp.split(answer_BQ[:, :ends], splits[:-1], -1) if self.categorical else [],
                jnp.split(code_BC[:, :ends], splits[:-1], -1) if self.categorical else [],
            )
        ]
        mean, log_std = jnp.split(answer_BQ[:, ends:], 2, axis=-1)
        scaled = (code_BC[:, ends:] - mean) * jnp.exp(-log_std)
        log_q = -0.5 * scaled**2 - log_std - 0.5 * math.log(2 * math.pi)
        return [*bounds, *(log_q + math.log(2)).T]

    # How it learns.

    def _judge_fake(self, params, state: Tree, image: Array, label_B: Array | None, key: Array, index_B: Array, train):
        """Equation 6: to what each player minimizes comes -lambda times the bound of every code."""
        (logit, features), state = self._features(params, state, image, train)
        answer, state = apply(self.networks(), "q", params, state, features, train=train)
        weights = [self.information] * len(self.categorical) + [self.continuous_information] * self.continuous
        bounds = self.bounds(answer, self._codes(key, index_B))
        terms = {f"code{i}": Term.mean(-bound, scale=w) for i, (bound, w) in enumerate(zip(bounds, weights))}
        return logit, state, terms

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Those of the GAN, the bound of each code in nats, and the shares of first code and label together."""
        values, valid_B, index_B = super().evaluate(params, state, batch, key), valid_rows(batch), batch["index"]
        params, _ = self._normalized(params, state)

        def answer(image: Array) -> Array:
            (_, features), _ = self._features(params, state, image, train=False)
            return apply(self.networks(), "q", params, state, features, train=False)[0]

        fake, _ = self._generate(params, state, self._latent(key, index_B), None, train=False)
        for i, bound in enumerate(self.bounds(answer(fake), self._codes(key, index_B))):
            values[f"information_code{i}"] = Term.mean(bound, valid_B)
        if self.categorical and self.labels and "label" in batch:
            clusters = self.categorical[0]
            found = jax.nn.one_hot(answer(images.images_of(batch))[:, :clusters].argmax(-1), clusters)
            hot = jax.nn.one_hot(batch["label"], self.labels)
            for i in range(clusters):
                for j in range(self.labels):
                    values[f"{TOGETHER}{i}/{j}"] = Term.mean(found[:, i] * hot[:, j], valid_B)
        return values

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """Adds `cluster_accuracy`: the share of examples whose first code is the one assigned to their label.

        The assignment is the best one to one (Kuhn 1955, the Hungarian method).
        """
        shares = {name.removeprefix(TOGETHER): x for name, x in metrics.items() if name.startswith(TOGETHER)}
        kept = super().finalize({name: x for name, x in metrics.items() if not name.startswith(TOGETHER)})
        if not shares:
            return kept
        table = np.reshape([shares[f"{i}/{j}"] for i in range(self.categorical[0]) for j in range(self.labels)],
                           (-1, self.labels))  # fmt: skip
        rows, columns = hungarian_algorithm(-jnp.asarray(table))
        return kept | {"cluster_accuracy": float(table[np.asarray(rows), np.asarray(columns)].sum())}

    # What it makes.

    def walk(self, code: int) -> np.ndarray:
        """The values float32 of a code in a row of a walk: all of a categorical one, [-2, 2] of a continuous one."""
        if code < len(self.categorical):
            return np.arange(self.categorical[code], dtype=np.float32)
        return np.linspace(-REACH, REACH, STEPS, dtype=np.float32)

    @property
    def previews(self) -> dict[str, SampleOptions]:
        codes = range(len(self.categorical) + self.continuous)
        return {"sample": InfoGANOptions()} | {f"code{i}": InfoGANOptions(mode="walk", code=i) for i in codes}

    def check(self, options: InfoGANOptions) -> InfoGANOptions:
        last = len(self.categorical) + self.continuous - 1
        if not 0 <= options.code <= last:
            raise UsageError(f"--code {options.code}: the codes of this model are 0 to {last}")
        return super().check(options)

    def layout(self, options: InfoGANOptions) -> Layout:
        return Layout(columns=len(self.walk(options.code)) if options.mode == "walk" else None)

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: InfoGANOptions
    ) -> dict[str, Array]:
        """{"image": (N, H, W, C)}.

        In a walk `row` (N,) says whose noise a sample has, and `value` (N,) what its code is.
        """
        params, _ = self._normalized(params, state)
        index_N = conditions["row"] if options.mode == "walk" else conditions["index"]
        z_NZ = options.truncation * super()._latent(key, index_N)
        code_NC = self._codes(key, index_N)
        if options.mode == "walk":
            value, before = conditions["value"], sum(self.categorical[: options.code])
            if options.code < len(self.categorical):
                new = jax.nn.one_hot(value.astype(jnp.int32), self.categorical[options.code])
            else:
                before, new = before + options.code - len(self.categorical), value[:, None]
            code_NC = jax.lax.dynamic_update_slice(code_NC, new, (0, before))
        image, _ = self._generate(params, state, jnp.concatenate([z_NZ, code_NC], axis=-1), None, train=False)
        return {"image": image}
