"""FLOPs that a train step needs by its mathematics: for MFU; and those of the attention kernel, which XLA can't see.

Counted are the matrix products and convolutions of the step itself: it is traced, not run, and its jaxpr read. What
the step differentiates, freezes, shares between turns or loops over is then right for every system by construction.
"""

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from genjax.engine import state as states
from genjax.engine.batches import abstract_batch
from genjax.engine.step import INIT, run_key, train_step, turn_period
from genjax.experiment import Experiment
from genjax.models.base import Model
from genjax.nn.attention import CAUSAL, LANES
from genjax.spec import DataSpec

__all__ = ["kernel_flops", "model_flops", "model_flops_by_entry", "product_flops", "step_flops"]

SPLASH_BLOCK = 512  # the largest of the kernel's blocks; those above the diagonal are skipped

# The form of a model in which nothing is hidden in a kernel, padded or done twice: its fields by name.
PLAIN = {"remat": "none", "unroll": 1, "vocabulary_multiple": 1}

INLINED = {  # primitives that only call
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


def model_flops(experiment: Experiment, spec: DataSpec, *, full_attention: bool = False) -> float:
    """Mean FLOPs of a step over one period of the turns; see `step_flops`."""
    return sum(model_flops_by_entry(experiment, spec, full_attention=full_attention).values())


def model_flops_by_entry(experiment: Experiment, spec: DataSpec, *, full_attention: bool = False) -> dict[str, float]:
    """`model_flops` by network; entries whose networks are of one class are counted together, as "a, b"."""
    period, mean = turn_period(experiment), Counter()
    for due, times in Counter(period).items():
        for entry, flops in _step_flops(experiment, spec, due, full_attention).items():
            mean[entry] += times * flops / len(period)
    return dict(mean)


def step_flops(experiment: Experiment, spec: DataSpec, due: tuple[str, ...], *, full_attention: bool = False) -> float:
    """FLOPs of the matrix products and convolutions of one step of the global batch in which the turns `due` play.

    A multiplication and an addition count one each. Work that is not needed does not count: what is recomputed
    (remat) or computed by two turns alike, products with the zeros of a convolution's padding, and the half of causal
    attention that the mask removes. Of a loop without a known number of rounds one round counts.

    Args:
      experiment: a resolved one.
      full_attention: both halves of causal attention, as Chowdhery et al. 2022 (PaLM, appendix B) count MFU.
    """
    return sum(_step_flops(experiment, spec, due, full_attention).values())


def _step_flops(experiment: Experiment, spec: DataSpec, due: tuple[str, ...], full_attention: bool) -> Counter[str]:
    model = _plain(experiment.model)
    train = dataclasses.replace(experiment.train, grad_accumulation=1)
    experiment = dataclasses.replace(experiment, model=model, train=train)
    state = jax.eval_shape(functools.partial(states.create, model, experiment, spec), run_key(0, INIT))
    batch = abstract_batch(spec, experiment.data.batch_size, None)
    step = functools.partial(train_step, model, experiment, due=due, unroll=1)
    return _product_flops(
        jax.make_jaxpr(step)(state, batch), _entries_by_class(model), causal_share=1.0 if full_attention else 0.5
    )


def _entries_by_class(model: Model) -> dict[str, str]:
    """By the names that Flax gives to the scopes of whole networks, those of their classes."""
    entries: dict[str, list[str]] = {}
    for entry, network in model.networks().items():
        entries.setdefault(type(network).__name__, []).append(entry)
    return {name: ", ".join(of_class) for name, of_class in entries.items()}


def _plain(config):
    """A model in its plain form, the configurations of its networks too."""

    def value(name: str, old):
        if dataclasses.is_dataclass(old):
            return _plain(old)
        return "xla" if "attention" in name and isinstance(old, str) else PLAIN.get(name, old)

    fields = [field.name for field in dataclasses.fields(config)]
    return dataclasses.replace(config, **{name: value(name, getattr(config, name)) for name in fields})


def product_flops(closed: ClosedJaxpr, *, causal_share: float = 1.0) -> float:
    """FLOPs of the products of a jaxpr: equal ones count once, and those that no output depends on not at all.

    Args:
      causal_share: counted of the products within the scope CAUSAL.
    """
    return sum(_product_flops(closed, {}, causal_share=causal_share).values())


class _Scope(NamedTuple):
    """Where equations stand: the entry whose network they belong to, and whether within causal attention."""

    entry: str = "other"
    causal: bool = False

    def inner(self, eqn, entries: Mapping[str, str]) -> "_Scope":
        stack = str(eqn.source_info.name_stack)
        entry = next((entries[word] for word in re.findall(r"\w+", stack) if word in entries), self.entry)
        return _Scope(entry, self.causal or CAUSAL in stack)


def _product_flops(
    closed: ClosedJaxpr, entries: Mapping[str, str], *, causal_share: float, scope: _Scope = _Scope()
) -> Counter[str]:
    """`product_flops` of a jaxpr that stands in `scope`, by entry; `entries` are known by the classes' names."""
    numbers: dict[Any, int] = {}  # equation -> node
    flops: list[Counter[str]] = []  # of each node
    inputs: list[tuple] = []  # the values each node reads; a value is (node, output)

    def visit(jaxpr: Jaxpr, values: list, scope: _Scope) -> list:
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], values))

        def read(atom):
            return (-1, str(atom.val), str(atom.aval)) if isinstance(atom, Literal) else known[atom]

        for eqn in jaxpr.eqns:
            read_values = tuple(map(read, eqn.invars))
            within = scope.inner(eqn, entries)
            if eqn.primitive.name in INLINED:
                inner = eqn.params[INLINED[eqn.primitive.name]]
                constants = [(-1, id(value)) for value in getattr(inner, "consts", ())]
                outputs = visit(getattr(inner, "jaxpr", inner), [*constants, *read_values], within)
            else:
                key = (eqn.primitive.name, str(eqn.params), read_values)
                if key not in numbers:
                    numbers[key] = len(flops)
                    flops.append(_equation_flops(eqn, entries, causal_share, within))
                    inputs.append(read_values)
                outputs = [(numbers[key], i) for i in range(len(eqn.outvars))]
            known.update(zip(eqn.outvars, outputs))
        return [read(atom) for atom in jaxpr.outvars]

    leaves = [(-1, i) for i in range(len(closed.jaxpr.constvars) + len(closed.jaxpr.invars))]
    needed, waiting = set(), visit(closed.jaxpr, leaves, scope)
    while waiting:
        node = waiting.pop()[0]
        if node >= 0 and node not in needed:
            needed.add(node)
            waiting += inputs[node]
    return sum((flops[node] for node in needed), Counter())


def _equation_flops(eqn, entries: Mapping[str, str], causal_share: float, scope: _Scope) -> Counter[str]:
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        lhs, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
        share = causal_share if scope.causal else 1.0
        return Counter({scope.entry: share * 2.0 * math.prod(out) * math.prod(lhs[i] for i in contracted)})
    if eqn.primitive.name == "conv_general_dilated":
        return Counter({scope.entry: _convolution_flops(eqn)})
    count = functools.partial(_product_flops, entries=entries, causal_share=causal_share, scope=scope)
    inner = [
        count(j if isinstance(j, ClosedJaxpr) else ClosedJaxpr(j, ()))
        for j in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr | Jaxpr))
        if isinstance(j, ClosedJaxpr | Jaxpr)
    ]
    if eqn.primitive.name == "cond":
        return max(inner, key=Counter.total)
    rounds = eqn.params.get("length", 1)
    return Counter({entry: rounds * flops for entry, flops in sum(inner, Counter()).items()})


def _convolution_flops(eqn) -> float:
    """Of the pairs of an output and a tap of the kernel that meet an element of the input, not padding or a hole."""
    p, (lhs, rhs), out = eqn.params, (v.aval.shape for v in eqn.invars), eqn.outvars[0].aval.shape
    lhs_spec, rhs_spec, out_spec = p["dimension_numbers"]
    pairs = 1.0
    for axis, (i, k, o) in enumerate(zip(lhs_spec[2:], rhs_spec[2:], out_spec[2:])):
        hole = p["lhs_dilation"][axis]
        taps = np.arange(rhs[k]) * p["rhs_dilation"][axis] - p["padding"][axis][0]
        place = np.arange(out[o])[:, None] * p["window_strides"][axis] + taps
        pairs *= np.sum((place >= 0) & (place <= (lhs[i] - 1) * hole) & (place % hole == 0))
    return 2.0 * float(pairs) * out[out_spec[0]] * out[out_spec[1]] * rhs[rhs_spec[1]]


def kernel_flops(model: Model, examples: int) -> float:
    """FLOPs that Pallas's splash attention executes in a train step; 0 where it is not used.

    2 matrix products forward, again 2 where the layer is recomputed, 3 for the queries' gradient and 4 for that of
    keys and values, each over the blocks on and below the diagonal.
    """
    stack = model.stack
    context = getattr(stack, "context", None)  # stacks of text have one; their attention is causal
    if not context or stack.attention != "splash" or context % LANES:
        return 0.0
    block = next(b for b in (SPLASH_BLOCK, 256, LANES) if context % b == 0)
    products = 9 if stack.remat == "none" else 11
    return examples * stack.layers * products * 2.0 * (context * (context + block) / 2) * stack.heads * stack.size
