"""Adapters: they start as almost nothing beside their base, learn alone, and are what the paper's figure 2 shows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from genjax.errors import UsageError
from genjax.interop.family import differing
from genjax.interop.gpt2 import GPT2
from genjax.models import GPT, HMM, Adapters, CategoricalEmission, Diffusion, DiTConfig, TextClassifier, Translation
from genjax.spec import DataSpec, Label, Tokens

TEXT = DataSpec({"tokens": Tokens((12,), 21, shifted=True)})
PAIRS = DataSpec({name: Tokens((10,), 30, ragged=True, end=0) for name in ("source", "target")})
LABELLED = DataSpec({"text": Tokens((12,), 21, ragged=True, end=0), "label": Label(3)})
PATHS = [f"{layer}/{array}" for layer in ("up", "down") for array in ("kernel", "bias")]
SIZES = {"heads": 2, "width": 16}
BASES = {
    "gpt": (GPT(layers=2, **SIZES), TEXT, {"adapters.decoder"}),
    "translation": (Translation(layers=1, hidden=24, order="post", **SIZES), PAIRS, {"adapters.translator"}),
    "classifier": (TextClassifier(layers=1, hidden=24, **SIZES), LABELLED, {"adapters.encoder", "head"}),
}


@pytest.mark.parametrize("name", BASES)
def test_it_starts_as_nearly_its_base_whose_weights_stay(name):
    base, spec, learned = BASES[name]
    model = Adapters(base=base, bottleneck=3).resolve(spec).on("cpu")
    params, state = model.init(jax.random.key(0), spec)
    own = model.base.init(jax.random.key(0), spec)[0]
    [turn] = model.turns
    assert set(turn.trains) == learned and own.keys() <= params.keys()
    for entry in own:
        assert jax.tree.map(jnp.shape, own[entry]) == jax.tree.map(jnp.shape, params[entry])
    batch = {name: jnp.asarray(x) for name, x in spec.random_batch(4).items()}

    @jax.jit
    @jax.value_and_grad
    def loss(given):
        return model.loss(turn.name, params | given, state, batch, jax.random.key(1), step=0, train=True).loss

    trained = {entry: params[entry] for entry in turn.trains}
    value, gradient = loss(trained)
    entries = {entry: params[entry] for entry in own}
    plain = model.base.loss(turn.name, entries, state, batch, jax.random.key(1), step=0, train=True).loss
    assert float(value) == pytest.approx(float(plain), abs=1e-3) and float(value) != float(plain)
    moved = {jax.tree_util.keystr(path): np.abs(x).max() for path, x in jax.tree_util.tree_leaves_with_path(gradient)}
    assert all(moved.values()), moved


def test_an_adapter_is_the_papers():
    """Behind parts that put out their bias alone, down, GELU, up, and its input, is as much as another bias."""
    model = GPT(layers=1, bottleneck=3, **SIZES).resolve(TEXT).on("cpu")
    draw, tokens = np.random.default_rng(0), np.arange(12)[None]
    decoder = jax.tree.map(
        lambda x: draw.normal(size=x.shape).astype("f"), model.init(jax.random.key(0), TEXT)[0]["decoder"]
    )
    blocks = flatten_dict(decoder["blocks"], sep="/")
    for out in ("attention/out", "mlp/down"):
        blocks[f"{out}/kernel"] *= 0

    def logits(model, blocks):
        return model.logits({"decoder": decoder | {"blocks": unflatten_dict(blocks, sep="/")}}, tokens)

    other = {path: x for path, x in blocks.items() if "adapter" not in path}
    for part, out in (("attention", "attention/out"), ("mlp", "mlp/down")):
        y, w = blocks[f"{out}/bias"], {path: blocks[f"{part}_adapter/{path}"] for path in PATHS}
        h = y @ w["up/kernel"][0] + w["up/bias"]
        gelu = 0.5 * h * (1 + np.tanh((2 / np.pi) ** 0.5 * (h + 0.044715 * h**3)))
        other[f"{out}/bias"] = y + gelu @ w["down/kernel"][0] + w["down/bias"]
    plain = dataclasses.replace(model, bottleneck=0)
    assert (
        np.abs(logits(plain, {**other, "mlp/down/bias": blocks["mlp/down/bias"]}) - logits(model, blocks)).max() > 0.1
    )
    np.testing.assert_allclose(logits(model, blocks), logits(plain, other), atol=1e-4)


def test_what_has_no_place_for_adapters_is_refused():
    gpt = BASES["gpt"][0]
    for fields, message in (
        ({"base": Diffusion(network=DiTConfig(patch=2, layers=1, width=32, heads=2))}, "Diffusion has no transformer"),
        ({"base": HMM(states=2, emission=CategoricalEmission())}, "turn .* of HMM has no gradient"),
        ({"base": gpt, "bottleneck": 0}, "must be positive"),
        ({"base": GPT(layers=1, bottleneck=2, **SIZES)}, "has adapters already"),
    ):
        with pytest.raises(UsageError, match=message):
            Adapters(**fields)
    with pytest.raises(UsageError, match="must not be negative"):
        GPT(layers=1, bottleneck=-1, **SIZES)


def test_what_is_exported_is_the_base_with_adapters():
    model = Adapters(base=BASES["gpt"][0], bottleneck=3).resolve(TEXT).on("cpu")
    params, state = model.init(jax.random.key(0), TEXT)
    params["adapters.decoder"] = jax.tree.map(lambda x: x + 0.1, params["adapters.decoder"])
    found, weights, _ = model.merged(params, state)
    assert found.bottleneck == 3 and weights.keys() == {"decoder"}
    batch = {name: jnp.asarray(x) for name, x in TEXT.random_batch(4).items()}
    ours = model.evaluate(params, {}, batch, jax.random.key(0))["loss"].value
    assert found.evaluate(weights, {}, batch, jax.random.key(0))["loss"].value == pytest.approx(float(ours), rel=1e-6)
    assert "bottleneck" in differing(found, GPT2.style)  # which no folder of another library can hold
