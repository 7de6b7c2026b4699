"""Hidden Markov models (Rabiner 1989): a chain of states that nobody sees, each of which emits what one sees."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.models.base import (
    Array,
    Batch,
    LossOutput,
    Model,
    Params,
    SampleOptions,
    Term,
    Tree,
    Turn,
    require_turn,
    valid_rows,
)
from genjax.models.hmm.emission import CategoricalEmission, Emission, log_normalized
from genjax.models.hmm.inference import Smoothed, block_count, log_likelihood, smooth
from genjax.models.hmm.options import HMMOptions
from genjax.models.hmm.sampling import decode, draw
from genjax.models.hmm.semiring import probabilities_do
from genjax.registry import register
from genjax.spec import DataSpec, Field, Mask, Real, States, Tokens, require

__all__ = ["HMM", "Chain", "Sequences"]

MISSING = "observed"  # the optional field (T,) bool: which times were observed
LANES = {"cpu": 1}  # measured: XLA compiles a scan for the CPU to one loop, which blocks only lengthen
SIDE_BY_SIDE = 4096  # on accelerators


class Chain(nn.Module):
    """The parameters of R chains: logits of the first state (R, K), of moves (R, K, K), and the emission's."""

    states: int
    emission: Emission
    restarts: int = 1  # chains learned side by side, of which the likeliest counts

    @nn.compact
    def __call__(self) -> Tree:
        def dirichlet(key: Array, shape: tuple[int, ...]) -> Array:
            return jnp.log(jax.random.dirichlet(key, jnp.ones(shape[-1]), shape[:-1]))

        def emissions(key: Array) -> Tree:
            return jax.vmap(lambda k: self.emission.init(k, self.states))(jax.random.split(key, self.restarts))

        return {
            "start": self.param("start", dirichlet, (self.restarts, self.states)),
            "move": self.param("move", dirichlet, (self.restarts, self.states, self.states)),
            "emission": self.param("emission", emissions),
        }


class Sequences(NamedTuple):
    """What a batch has observed."""

    x: Array  # (B, T, D), or (B, T) symbols
    length_B: Array
    seen_BT: Array  # bool: observed, and within the length


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class HMM(Model):
    """Entry "hmm"; turn "em" (Baum et al. 1970), or "gradient". The loss is -log p in nats an observation.

    EM adds up expected counts over the whole batch. With `step_power` above 0 it is stochastic EM (Cappé & Moulines
    2009, arXiv:0712.4273, section 2.2): the counts are moving averages over the batches. `restarts` chains learn side
    by side from starts of their own; the one that is likeliest on the latest batches is evaluated and sampled.
    """

    states: int = 2  # hidden ones
    emission: Emission = CategoricalEmission()  # noqa: RUF009, frozen
    learn: Literal["em", "gradient"] = "em"
    step_power: float = 0.0  # counts move by (1 + step)^-step_power: 0 = EM of each batch alone
    start: Literal["random", "kmeans"] = "random"  # kmeans: the first step is spent on it, over the first batch
    restarts: int = 1  # chains learned side by side, of which the likeliest counts
    pseudocount: float = 0.0  # added to the expected count of every first state and move
    length: int | None = None  # of a sampled sequence; None = the data's
    missing: bool | None = None  # whether the data says what was observed (its field `observed`); None = the data's
    lanes: int | None = None  # sequences, or blocks of one, that are computed side by side; None = as the platform asks

    Options: ClassVar = HMMOptions
    best: ClassVar[tuple[str, str]] = ("nll", "min")

    def __post_init__(self):
        for name, least in (("states", 1), ("restarts", 1), ("pseudocount", 0), ("length", 1), ("lanes", 1)):
            if (value := getattr(self, name)) is not None and not least <= value < math.inf:
                raise UsageError(f"HMM: {name} is {value}, must be at least {least}")
        if not 0 <= self.step_power <= 1:
            raise UsageError(f"HMM: step_power is {self.step_power}, must be in [0, 1]")
        if self.start == "kmeans" and not self.emission.metric:
            raise UsageError("HMM: start kmeans needs numbers, and symbols have no distances: take start random")

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.learn, trains=("hmm",), gradient=self.learn == "gradient"),)

    def networks(self) -> dict[str, nn.Module]:
        return {"hmm": Chain(self.states, self.emission, self.restarts)}

    def resolve(self, spec: DataSpec) -> "HMM":
        emission = self.emission.resolve(spec)
        field = spec.fields[emission.field]
        times = field.longest + field.shifted if isinstance(field, Tokens) else field.shape[0]
        if missing := MISSING in spec.fields:
            mask = require(spec, MISSING, Mask, "HMM")
            if mask.shape != (times,):
                raise UsageError(
                    f"HMM: `{MISSING}` is of shape {mask.shape}, and sequences have {times} times: make it ({times},)"
                )
        return dataclasses.replace(self, emission=emission, length=self.length or times, missing=missing)

    def on(self, platform: str) -> "HMM":
        return dataclasses.replace(self, lanes=self.lanes or LANES.get(platform, SIDE_BY_SIDE))

    def init(self, key: Array, spec: DataSpec, batch_size: int = 1) -> tuple[Params, Tree]:
        """The state keeps the moving counts of EM, how likely each chain is, and the keys of k-means."""
        params = self.networks()["hmm"].init(key)["params"]
        state = {"score": jnp.zeros(self.restarts)}
        if self.start == "kmeans":
            state["key"] = jax.random.key_data(jax.random.split(jax.random.fold_in(key, 1), self.restarts))
        if self.learn == "em":
            one, weight = self.emission.one, jnp.zeros((self.restarts, 1, self.states))
            counts = jax.eval_shape(lambda: self._counts(params, jnp.zeros((1, *one.shape), one.dtype), weight))
            state["counts"] = jax.tree.map(lambda c: jnp.zeros(c.shape, c.dtype), counts)
        return {"hmm": params}, {"hmm": state}

    # What is learned.

    def sequences(self, batch: Batch) -> Sequences:
        field = self.emission.field
        array = batch[field]
        (b, times), full = array.shape[:2], jnp.int32(array.shape[1])
        length_B = jnp.minimum(batch.get(f"{field}_length", jnp.full((b,), full)), full)
        seen_BT = jnp.arange(times) < length_B[:, None]
        if MISSING in batch:
            seen_BT &= batch[MISSING][:, :times]
        if (present_B := batch.get(f"{field}_present")) is not None:
            seen_BT &= present_B[:, None]
        return Sequences(self.emission.observations(array), length_B, seen_BT)

    def chain(self, hmm: Tree, data: Sequences) -> tuple[Array, Array, Array]:
        """Log probabilities of one chain: start (K,), move (K, K), emissions (B, T, K), 0 where not observed."""
        emit_BTK = self.emission.log_prob(hmm["emission"], data.x)
        if self.dtype not in (None, "float32"):
            emit_BTK = emit_BTK.astype(self.dtype).astype(jnp.float32)
        emit_BTK = jnp.where(data.seen_BT[..., None], emit_BTK, 0)
        return jax.nn.log_softmax(hmm["start"]), jax.nn.log_softmax(hmm["move"]), emit_BTK

    def blocks(self, data: Sequences) -> int:
        return block_count(*data.seen_BT.shape, self.lanes or 1)

    def log_likelihood(self, hmm: Tree, data: Sequences) -> Array:
        """(R, B) log p(x) of every chain."""
        return self._of_chains(log_likelihood, hmm, data)

    def smooth(self, hmm: Tree, data: Sequences) -> Smoothed:
        """Posteriors of the states under every chain: arrays (R, ...)."""
        return self._of_chains(smooth, hmm, data)

    def _of_chains(self, infer: Callable, hmm: Tree, data: Sequences) -> Tree:
        probabilities = probabilities_do(jax.nn.log_softmax(hmm["move"]))  # one answer for all: no chain computes both

        def one(hmm: Tree) -> Tree:
            chain = self.chain(hmm, data)
            return infer(*chain, data.length_B, blocks=self.blocks(data), probabilities=probabilities)

        return jax.vmap(one)(hmm)

    def loss(
        self, turn: str, params: Params, state: Tree, batch: Batch, key: Array, *, step: Array, train: bool
    ) -> LossOutput:
        """-log p(x), the mean over the restarts; EM leaves the expected counts behind (Rabiner 1989, equation 40)."""
        require_turn(self, turn)
        data, hmm = self.sequences(batch), params["hmm"]
        count = data.seen_BT.sum().astype(jnp.float32)
        sums, rows = {"observations": count}, {}
        if self.learn == "gradient":
            nats_RB = -self.log_likelihood(hmm, data)
        else:
            known = self.smooth(hmm, data)
            nats_RB = -known.log_likelihood_B
            weight_RBTK = jnp.where(data.seen_BT[..., None], known.state_BTK, 0)
            flat = data.x.reshape(-1, *data.x.shape[2:])
            counts = self._counts(hmm, flat, weight_RBTK.reshape(self.restarts, -1, self.states))
            sums["counts"] = counts | {"start": known.state_BTK[:, :, 0].sum(1), "move": known.move_KK}
        if self.start == "kmeans":
            rows = {"x": data.x, "seen": data.seen_BT}
        sums["nats"] = nats_RB.sum(1)
        return LossOutput({"nll": Term(nats_RB.sum() / self.restarts, count)}, {}, state, sums=sums, rows=rows)

    def update(
        self, turn: str, params: Params, state: Tree, sums: Tree, rows: Tree, *, step: Array
    ) -> tuple[Params, Tree]:
        hmm, kept = params["hmm"], dict(state["hmm"])
        rate = (1.0 + jnp.maximum(step - (self.start == "kmeans"), 0)) ** -self.step_power

        def move(old: Array, new: Array) -> Array:
            return ((1 - rate) * old + rate * new).astype(old.dtype)

        kept["score"] = move(kept["score"], -sums["nats"] / jnp.maximum(sums["observations"], 1))
        if self.learn == "em":
            hmm, kept["counts"] = self._maximize(hmm, jax.tree.map(move, kept["counts"], sums["counts"]))
        if self.start == "kmeans":
            hmm = jax.lax.cond(step == 0, lambda: self._clustered(params["hmm"], kept["key"], rows), lambda: hmm)
        return {"hmm": hmm}, {"hmm": kept}

    def _counts(self, hmm: Tree, x: Array, weight_RNK: Array) -> Tree:
        r, _, k = weight_RNK.shape
        emitted = jax.vmap(lambda p, w: self.emission.statistics(p, x, w))(hmm["emission"], weight_RNK)
        return {"start": jnp.zeros((r, k)), "move": jnp.zeros((r, k, k)), "emission": emitted}

    def _maximize(self, hmm: Tree, counts: Tree) -> tuple[Tree, Tree]:
        """The likeliest parameters given the expected counts, and the counts as these parameters see them."""
        emission, emitted = jax.vmap(self.emission.maximize)(hmm["emission"], counts["emission"])
        chain = {name: log_normalized(counts[name] + self.pseudocount) for name in ("start", "move")}
        return chain | {"emission": emission}, counts | {"emission": emitted}

    def _clustered(self, hmm: Tree, key_R: Array, rows: Tree) -> Tree:
        """The chains with emissions by k-means."""
        x_ND, weight_N = rows["x"].reshape(-1, rows["x"].shape[-1]), rows["seen"].reshape(-1).astype(jnp.float32)
        keys = jax.random.wrap_key_data(key_R)
        found = jax.vmap(lambda p, k: self.emission.start(p, k, x_ND, weight_N))(hmm["emission"], keys)
        return hmm | {"emission": found}

    # How good it is.

    def likeliest(self, params: Params, state: Tree) -> Tree:
        """The parameters of the chain that was likeliest on the latest batches."""
        return jax.tree.map(lambda x: x[jnp.argmax(state["hmm"]["score"])], params["hmm"])

    def evaluate(self, params: Params, state: Tree, batch: Batch, key: Array) -> dict[str, Term]:
        """Nats an observation, of the likeliest chain."""
        data, row_B = self.sequences(batch), valid_rows(batch)
        best = jax.tree.map(lambda x: x[None], self.likeliest(params, state))
        log_B = self.log_likelihood(best, data)[0]
        count = (data.seen_BT * row_B[:, None]).sum()
        return {"nll": Term(-jnp.where(row_B > 0, log_B, 0).sum(), count)}

    def finalize(self, metrics: dict[str, float]) -> dict[str, float]:
        """The log-likelihood of the split, and the criteria of Akaike and Schwarz for the number of states."""
        total, count = -metrics["nll"] * metrics["count"], metrics["count"]
        free = self.states**2 - 1 + self.emission.free(self.states)
        criteria = {"aic": 2 * free - 2 * total, "bic": math.log(count) * free - 2 * total}
        return metrics | {"log_likelihood": total} | criteria

    # What it makes.

    @property
    def previews(self) -> dict[str, SampleOptions]:
        return {"sample": HMMOptions(), "decoded": HMMOptions(decode="viterbi")}

    def needs(self, options: HMMOptions) -> tuple[str, ...]:
        return () if options.decode == "none" else (self.emission.field, *[MISSING] * bool(self.missing))

    def outputs(self, spec: DataSpec) -> dict[str, Field]:
        """The sequence, its states, and what the picture of the chain shows: moves (K, K), and the emission's means."""
        times = self.length
        made = {
            self.emission.field: self.emission.kind(times),
            "states": States(times, self.states, self.emission.field),
        }
        return made | {"move": Real((self.states, self.states)), "emission": Real((self.states, self.emission.width))}

    def sample(
        self, params: Params, state: Tree, key: Array, conditions: Batch, options: HMMOptions
    ) -> dict[str, Array]:
        """Sequences and their states (N, T); with `decode` those of the conditions, -1 from their length on."""
        hmm, n = self.likeliest(params, state), conditions["index"].shape[0]
        if options.decode == "none":
            made = draw(self, hmm, key, conditions["index"], options.length or self.length)
        else:
            made = decode(self, hmm, conditions, options.decode)
        shown = {"move": jnp.exp(jax.nn.log_softmax(hmm["move"])), "emission": self.emission.means(hmm["emission"])}
        return made | {name: jnp.broadcast_to(x, (n, *x.shape)) for name, x in shown.items()}
