"""Small models that need one part of the contract each: two counts, statistics, a pool, a moving mean, EM."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.models.base import LossOutput, Model, Term, Turn
from genjax.nn import noise
from genjax.spec import DataSpec, Label, Real, Tokens

VECTORS = DataSpec({"x": Real((4,)), "view": Real((3,), optional=True), "label": Label(2)}, 64, 64)
WORDS = DataSpec({"tokens": Tokens((12,), 5)}, 64, 64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Model):
    """One dense network "net" on x (B, 4), one turn."""

    turns = (Turn("learn", trains=("net",)),)

    def networks(self):
        return {"net": nn.Dense(3)}

    def init(self, key, spec, batch_size=1):
        return {"net": self.networks()["net"].init(key, jnp.zeros((1, 4)))["params"]}, {}

    def output(self, params, batch):
        return self.networks()["net"].apply({"params": params["net"]}, batch["x"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoCounts(Toy):
    """As BERT has it: masked places drawn by the example's noise, of which each row has another number, and a label."""

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF = self.output(params, batch)
        masked_BF = (noise.uniform(key, batch["index"], (3,)) < 0.4).astype(jnp.float32)
        right = jax.nn.log_softmax(y_BF)[jnp.arange(len(y_BF)), batch["label"]]
        return LossOutput({"mlm": Term.mean(y_BF**2, masked_BF), "nsp": Term.mean(-right, scale=0.5)}, {}, state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingViews(Toy):
    """A view that some rows lack is reconstructed where it is there."""

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF, there_B = self.output(params, batch), batch["view_present"].astype(jnp.float32)
        view = Term.mean(((y_BF - batch["view"]) ** 2).sum(-1), there_B)
        return LossOutput(
            {"view": view, "size": Term.mean((y_BF**2).sum(-1))}, {"missing": Term.mean(1 - there_B)}, state
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codebook(Toy):
    """Vectors (K, F) that follow the means of the outputs nearest to them (van den Oord et al. 2017, appendix A.1)."""

    def init(self, key, spec, batch_size=1):
        params, _ = super().init(key, spec)
        return params, {"codes": {"count": jnp.ones(4), "sum": jax.random.normal(key, (4, 3))}}

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF, codes_KF = self.output(params, batch), state["codes"]["sum"] / state["codes"]["count"][:, None]
        nearest_BK = jax.nn.one_hot(((y_BF[:, None] - codes_KF) ** 2).sum(-1).argmin(-1), 4)
        sums = {"count": nearest_BK.sum(0), "sum": nearest_BK.T @ y_BF}
        commit = Term.mean(((y_BF - nearest_BK @ codes_KF) ** 2).sum(-1))
        return LossOutput({"commit": commit}, {}, state, sums=jax.lax.stop_gradient(sums))

    def update(self, turn, params, state, sums, rows, *, step):
        return params, {"codes": jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, state["codes"], sums)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool(Toy):
    """The outputs of earlier steps, replayed beside the new ones; read as they were before the batch."""

    def init(self, key, spec, batch_size=1):
        return super().init(key, spec)[0], {"pool": jnp.zeros((batch_size, 3))}

    def loss(self, turn, params, state, batch, key, *, step, train):
        y_BF = self.output(params, batch)
        replayed_BF = state["pool"][batch["index"]]
        return LossOutput(
            {"replay": Term.mean((y_BF * (1 + replayed_BF)) ** 2)}, {}, state, rows=jax.lax.stop_gradient(y_BF)
        )

    def update(self, turn, params, state, sums, rows, *, step):
        return params, {"pool": 0.5 * state["pool"] + rows}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingMean(Toy):
    """A penalty on the distance from a moving mean, as the path length has it: the mean of the step before counts."""

    def init(self, key, spec, batch_size=1):
        return super().init(key, spec)[0], {"mean": jnp.zeros(())}

    def loss(self, turn, params, state, batch, key, *, step, train):
        length_B = jnp.linalg.norm(self.output(params, batch), axis=-1)
        sums = {"total": jax.lax.stop_gradient(length_B.sum()), "count": jnp.float32(len(length_B))}
        return LossOutput({"penalty": Term.mean((length_B - state["mean"]) ** 2)}, {}, state, sums=sums)

    def update(self, turn, params, state, sums, rows, *, step):
        return params, {"mean": state["mean"] + 0.1 * (sums["total"] / sums["count"] - state["mean"])}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HMM(Model):
    """A hidden Markov model of 2 states by EM (Baum et al. 1970): the gradient of log p(x) is that of its counts."""

    turns = (Turn("em", trains=("hmm",), gradient=False),)

    def init(self, key, spec, batch_size=1):
        shapes = {"start": (2,), "move": (2, 2), "emit": (2, 5)}
        draw = {name: jax.random.normal(key, shape) for name, shape in shapes.items()}
        return {"hmm": jax.tree.map(jax.nn.log_softmax, draw)}, {}

    def log_likelihood(self, hmm, tokens_BT):
        def step(alpha_BK, token_B):
            moved = jax.nn.logsumexp(alpha_BK[:, :, None] + hmm["move"], axis=1)
            return moved + hmm["emit"][:, token_B].T, None

        first = hmm["start"] + hmm["emit"][:, tokens_BT[:, 0]].T
        return jax.nn.logsumexp(jax.lax.scan(step, first, tokens_BT[:, 1:].T)[0], axis=-1)

    def loss(self, turn, params, state, batch, key, *, step, train):
        total, counts = jax.value_and_grad(lambda hmm: self.log_likelihood(hmm, batch["tokens"]).sum())(params["hmm"])
        return LossOutput({"nll": Term(-total, jnp.float32(len(batch["tokens"])))}, {}, state, sums=counts)

    def update(self, turn, params, state, sums, rows, *, step):
        return {"hmm": jax.tree.map(lambda n: jnp.log(n / n.sum(-1, keepdims=True)), sums)}, state


TOYS = {
    "two counts": (TwoCounts(), VECTORS),
    "missing views": (MissingViews(), VECTORS),
    "codebook": (Codebook(), VECTORS),
    "pool": (Pool(), VECTORS),
    "moving mean": (MovingMean(), VECTORS),
    "hmm": (HMM(), WORDS),
}
