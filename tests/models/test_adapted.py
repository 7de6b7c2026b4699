"""LoRA: it starts as its base, changes as the paper's formula and peft say, and is its base again when exported."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interop.peers import SIZES, disturbed, gpt2

from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UsageError
from genjax.interop.family import to_ours
from genjax.interop.gpt2 import GPT2
from genjax.models import GPT, HMM, CategoricalEmission, Diffusion, DiTConfig, LoRA, Translation
from genjax.nn.matrices import matrix
from genjax.runs.weights import export_weights, load_safetensors, metadata
from genjax.spec import DataSpec, Image, Tokens

TEXT = DataSpec({"tokens": Tokens((12,), 21, shifted=True)})
PAIRS = DataSpec({name: Tokens((10,), 30, ragged=True, end=0) for name in ("source", "target")})
BASES = {
    "gpt": (GPT(layers=2, heads=2, width=16), TEXT),
    "translation": (Translation(layers=1, heads=2, width=16, hidden=24), PAIRS),
    "diffusion": (
        Diffusion(network=DiTConfig(patch=2, layers=1, width=32, heads=2)),
        DataSpec({"image": Image(8, 8, 1)}),
    ),
}


@pytest.mark.parametrize("name", BASES)
def test_it_starts_as_its_base_and_only_the_adapters_learn(name):
    base, spec = BASES[name]
    model = LoRA(base=base, rank=2).resolve(spec).on("cpu")
    params, state = model.init(jax.random.key(0), spec)
    batch = {name: jnp.asarray(x) for name, x in spec.random_batch(4).items()}
    [turn] = model.turns
    assert turn.trains == tuple(f"lora.{entry}" for entry in model.base.turns[0].trains)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def losses(adapters):
        given = {"step": 0, "train": True}
        ours = model.loss(turn.name, params | adapters, state, batch, jax.random.key(1), **given)
        return ours.loss, model.base.loss(turn.name, params, state, batch, jax.random.key(1), **given).loss

    adapters = {entry: params[entry] for entry in turn.trains}
    (ours, theirs), gradient = losses(adapters)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    moved = [path for path, x in jax.tree_util.tree_leaves_with_path(gradient) if np.abs(x).max() > 0]
    assert moved and all(jax.tree_util.keystr(path).endswith(".b']") for path in moved)  # A has none while B is 0


def awake(params):
    """With adapters that change something."""
    draw = np.random.default_rng(0)
    return {
        entry: jax.tree.map(lambda x: draw.normal(size=x.shape).astype("f"), tree) if "lora." in entry else tree
        for entry, tree in params.items()
    }


def test_the_change_is_the_papers():
    model = LoRA(base=BASES["gpt"][0], rank=2, alpha=3.0, targets="mlp/up").resolve(TEXT)
    params = awake(model.init(jax.random.key(0), TEXT)[0])
    before, after, lora = params["decoder"], model.weights(params)["decoder"], params["lora.decoder"]
    assert set(lora) == {"blocks.mlp.up.kernel.a", "blocks.mlp.up.kernel.b"}
    for layer in range(2):
        expected = 1.5 * lora["blocks.mlp.up.kernel.a"][layer] @ lora["blocks.mlp.up.kernel.b"][layer]
        found = after["blocks"]["mlp"]["up"]["kernel"][layer] - before["blocks"]["mlp"]["up"]["kernel"][layer]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(after["embedding"], before["embedding"])


@pytest.mark.parametrize(
    ("path", "shape", "axes"),
    [
        ("blocks/attention/qkv/kernel", (3, 16, 2, 4, 4), ((0,), (1,), (2, 3, 4))),
        ("blocks/attention/out/kernel", (3, 4, 4, 16), ((0,), (1, 2), (3,))),
        ("blocks/adapt/kernel", (3, 16, 6, 16), ((0,), (1,), (2, 3))),
        ("final/adapt/kernel", (16, 2, 16), ((), (0,), (1, 2))),
        ("layer_0/kernel", (8, 4, 16), ((), (0,), (1, 2))),
        ("layer_1/state_kernel", (16, 3, 16), ((), (0,), (1, 2))),
        ("level_0/conv1/kernel", (3, 3, 8, 16), ((), (0, 1, 2), (3,))),
        ("dense/kernel", (8, 16), ((), (0,), (1,))),
        ("blocks/mlp_norm/scale", (3, 16), None),
        ("embedding", (21, 16), None),
    ],
)
def test_which_matrix_an_array_stands_for(path, shape, axes):
    assert matrix(path, shape) == axes


def test_an_export_is_the_base_with_its_weights_adapted(tmp_path):
    model = LoRA(base=BASES["gpt"][0], rank=2).resolve(TEXT).on("cpu")
    params = awake(model.init(jax.random.key(0), TEXT)[0])
    nothing = EMA({}, {}, {})
    state = TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state={}, ema=nothing, model_state={})
    file = export_weights(model, state, tmp_path / "weights.safetensors")
    loaded, _ = load_safetensors(file)
    assert metadata(file)["system"] == "GPT" and set(loaded) == {"decoder"}
    batch = {name: jnp.asarray(x) for name, x in TEXT.random_batch(4).items()}
    ours = model.evaluate(params, {}, batch, jax.random.key(0))["loss"].value
    assert model.base.evaluate(loaded, {}, batch, jax.random.key(0))["loss"].value == pytest.approx(
        float(ours), rel=1e-5
    )


def test_what_cannot_be_adapted_is_refused():
    gpt = BASES["gpt"][0]
    for fields, message in (
        ({"base": HMM(states=2, emission=CategoricalEmission())}, "turn .* of HMM has no gradient"),
        ({"base": gpt, "targets": "("}, "is no regular expression"),
        ({"base": gpt, "rank": 0}, "must be positive"),
        ({"base": gpt, "targets": "nothing"}, "no matrix of decoder has a name that --model.targets 'nothing' finds"),
    ):
        with pytest.raises(UsageError, match=message):
            LoRA(**fields).resolve(TEXT).init(jax.random.key(0), TEXT)
    assert dataclasses.replace(LoRA(base=gpt), rank=4).Options is GPT.Options and LoRA(base=gpt).layers == 2


@pytest.mark.peers
def test_it_is_pefts():
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    base = disturbed(gpt2())
    params = to_ours(GPT2, GPT(**SIZES), {name: x.detach().numpy().copy() for name, x in base.state_dict().items()}, 2)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)
    theirs = peft.get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    model = LoRA(base=GPT(**SIZES), rank=2, alpha=6.0).on("cpu")
    adapters = _of_peft({name: x.detach().numpy() for name, x in theirs.named_parameters() if "lora_" in name})
    tokens = np.random.default_rng(0).integers(0, 21, (3, 12))
    logits = theirs(torch.from_numpy(tokens)).logits
    nats = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), torch.from_numpy(tokens[:, 1:]).flatten())
    nats.backward()

    def losses(adapters):
        found = model.base.logits(model.weights(params | {"lora.decoder": adapters}), tokens)[..., :21]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(found[:, :-1]), tokens[:, 1:, None], axis=-1)
        return -chosen.mean(), found

    (ours, found), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(adapters)
    np.testing.assert_allclose(found, logits.detach(), atol=1e-4)
    assert float(ours) == pytest.approx(nats.item(), abs=1e-5)
    expected = _of_peft({name: x.grad.numpy() for name, x in theirs.named_parameters() if "lora_" in name})
    for name, x in gradient.items():
        assert np.abs(x).max() > 1e-3
        np.testing.assert_allclose(x, expected[name], atol=1e-5, err_msg=name)


def _of_peft(tensors):
    """A and B, or their gradients, by our names."""
    names = {
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    }
    found = {}
    for ours, there in names.items():
        for letter, part in (("A", "a"), ("B", "b")):
            at = f"base_model.model.transformer.h.{{}}.{there}.lora_{letter}.default.weight"
            found[f"blocks.{ours}.kernel.{part}"] = np.stack([tensors[at.format(n)].T for n in range(2)])
    b = found["blocks.attention.qkv.kernel.b"]  # columns (q, k, v) x heads x size, ours heads x (q, k, v) x size
    found["blocks.attention.qkv.kernel.b"] = b.reshape(2, 2, 3, 2, 8).swapaxes(2, 3).reshape(b.shape)
    return found
