"""Translation: its loss, positions, cache and attention, the texts of its users, and PyTorch's nn.Transformer."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.engine.optimizers import schedule
from genjax.errors import UsageError, UserError
from genjax.experiment import EntryOptim
from genjax.models import Translation
from genjax.models.language.translation_options import TranslationOptions
from genjax.networks.transformer import empty_cache, sines
from genjax.nn.attention import Mask, attention, attention_weights
from genjax.spec import DataSpec, Tokens

SPEC = DataSpec({name: Tokens((10,), 30, ragged=True, end=0) for name in ("source", "target")})
SIZES = {"layers": 2, "heads": 2, "width": 16, "hidden": 24, "vocabulary_multiple": 8}
PAPER = Translation(**SIZES, positions="sinusoidal", embedding_scale=4.0, order="post", embedding_norm=False)
PAPER = PAPER.resolve(SPEC).on("cpu")
PRE = dataclasses.replace(PAPER, order="pre")


def started(model, seed=0):
    """Parameters that are not near 0, so that every part is seen."""
    params, _ = model.init(jax.random.key(seed), SPEC)
    return jax.tree.map(lambda x: 4 * x if x.ndim > 1 else x, params)


def batch(seed=0):
    return {name: jnp.asarray(x) for name, x in SPEC.random_batch(4, seed).items()}


@pytest.mark.parametrize("model", [PAPER, PRE], ids=["post", "pre"])
def test_the_cached_decoder_says_what_the_whole_one_does(model):
    params, given = {"params": started(model)["translator"]}, batch()
    network, lengths = model.networks()["translator"], given["source_length"]
    memory = network.apply(params, given["source"], lengths_B=lengths, method="encode")
    whole = network.apply(params, given["target"], memory_BSD=memory, lengths_B=lengths, method="decode")
    cache, memory_of = empty_cache(model, 4, 10, 10), {"memory_BSD": memory}
    for t in range(10):
        step, cache = network.apply(
            params, given["target"][:, t : t + 1], cache=cache, start=t, lengths_B=lengths, method="decode", **memory_of
        )
        np.testing.assert_allclose(step[:, 0, :30], whole[:, t, :30], atol=1e-5)
        memory_of = {}


def test_positions_are_waves_of_geometric_lengths():
    waves = np.asarray(sines(jnp.arange(50), 16))
    place, i = np.arange(50)[:, None], np.arange(8)
    np.testing.assert_allclose(waves[:, :8], np.sin(place / 10000 ** (2 * i / 16)), atol=1e-5)
    np.testing.assert_allclose(waves[:, 8:], np.cos(place / 10000 ** (2 * i / 16)), atol=1e-5)
    np.testing.assert_array_equal(sines(jnp.arange(6).reshape(2, 3), 16)[1], waves[3:6])
    with pytest.raises(UsageError, match="even width"):
        Translation(layers=1, heads=1, width=15, positions="sinusoidal")


def test_the_rate_falls_with_the_root_of_the_step():
    """Equation 3 of the paper, for the base model."""
    rate = schedule(EntryOptim(learning_rate=(512 * 4000) ** -0.5, schedule="inverse_sqrt", warmup_steps=4000), 10**5)
    for step in (1, 100, 4000, 16000, 100_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert float(rate(step - 1)) == pytest.approx(expected, rel=1e-3)


def test_weights_of_attention_are_what_it_weighs_by():
    keys = jax.random.split(jax.random.key(0), 3)
    q, k, v = (jax.random.normal(key, (2, 5, heads, 4)) for key, heads in zip(keys, (4, 2, 2)))
    for mask in (Mask(causal=True), Mask(lengths_B=jnp.array([2, 5]))):
        weights = attention_weights(q, k, mask)
        expected = jnp.einsum("bhts,bshc->bthc", weights, v.repeat(2, axis=2))
        np.testing.assert_allclose(attention(q, k, v, mask), expected, atol=1e-5)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_a_sample_shows_where_it_looked():
    params, given = started(PRE), batch()
    options = TranslationOptions(beams=2, attention=True)
    made = PRE.sample(params, {}, jax.random.key(0), given, options)
    assert made["attention"].shape == (4, *made["target"].shape[1:], 10)
    np.testing.assert_allclose(made["attention"].sum(-1), 1, atol=1e-5)
    beyond = jnp.arange(10) >= given["source_length"][:, None]
    assert made["attention"].max(where=beyond[:, None], initial=0) == 0
    assert PRE.layout(options).maps == (("attention", "target", "given.source"),)
    plain = PRE.sample(params, {}, jax.random.key(0), given, TranslationOptions(beams=2))
    assert "attention" not in plain and np.array_equal(plain["target"], made["target"])


def test_a_plan_knows_the_texts_of_a_model_that_says_its_sizes():
    text = Tokens((10,), 30, ragged=True, end=0)
    assert PAPER.expects() == {"source": text, "target": text} and Translation().expects() == {}


# What users give.


class Letters:
    def encode(self, text):
        return np.array([ord(letter) - 96 for letter in text], np.int32)


GIVEN = types.SimpleNamespace(spec=SPEC, tokenizer=Letters())


def sources(given, num=2, tokenizer=GIVEN.tokenizer, **options):
    options = TranslationOptions(**options)
    made, rest = options.conditions(PAPER, types.SimpleNamespace(spec=SPEC, tokenizer=tokenizer), num)
    assert rest == TranslationOptions()
    return [row[:length].tolist() for row, length in zip(made["source"], made["source_length"])]


def test_prompts_and_the_lines_of_a_file_are_sources(tmp_path):
    (tmp_path / "input.txt").write_text("ab\nc\nabc\n")
    assert sources(GIVEN, 3, prompt=("ab", "c")) == [[1, 2, 0], [3, 0], [1, 2, 0]]
    assert sources(GIVEN, 3, path=tmp_path / "input.txt") == [[1, 2, 0], [3, 0], [1, 2, 3, 0]]
    assert TranslationOptions(path=tmp_path / "input.txt").count == 3 and TranslationOptions().count is None
    layout = PAPER.layout(TranslationOptions(path=tmp_path / "input.txt"))
    assert layout.lines and layout.beside == ("target",)


def test_texts_that_cannot_be_translated_are_named(tmp_path):
    (tmp_path / "input.txt").write_text("ab\n\nabcdefghijk\n")
    with pytest.raises(UsageError, match=r"input\.txt: line 2 is empty"):
        sources(GIVEN, path=tmp_path / "input.txt")
    with pytest.raises(UsageError, match="--prompt number 2 has 12 tokens, and the model reads 10: abcdefghijk"):
        sources(GIVEN, prompt=("ab", "abcdefghijk"))
    with pytest.raises(UserError, match=r"nowhere\.txt: cannot be read"):
        sources(GIVEN, path=tmp_path / "nowhere.txt")
    with pytest.raises(UsageError, match="no tokenizer"):
        sources(GIVEN, tokenizer=None, prompt=("ab",))
    with pytest.raises(UsageError, match="take one of the two"):
        TranslationOptions(prompt=("ab",), path=tmp_path / "input.txt")


# PyTorch.


@pytest.mark.peers
def test_the_loss_is_pytorchs_smoothed_cross_entropy():
    torch = pytest.importorskip("torch")
    params, given = started(PAPER), batch()
    logits = torch.tensor(np.asarray(PAPER.logits(params, given))[..., :30])
    beyond = np.arange(10) >= np.asarray(given["target_length"])[:, None]
    targets = torch.tensor(np.where(beyond, -100, given["target"])).long()
    for smoothing in (0.0, 0.1):
        model = dataclasses.replace(PAPER, label_smoothing=smoothing)
        ours = model.loss("translate", params, {}, given, jax.random.key(0), step=jnp.int32(0), train=False).loss
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)
        assert float(ours) == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("model", [PAPER, PRE], ids=["post", "pre"])
def test_the_network_is_pytorchs_transformer(model):
    torch = pytest.importorskip("torch")
    params, given = jax.tree.map(np.asarray, started(model)["translator"]), batch()
    theirs = torch.nn.Transformer(
        16, 2, 2, 2, 24, 0.0, batch_first=True, norm_first=model.order == "pre", layer_norm_eps=1e-5
    ).eval()
    state = {}
    for side in ("encoder", "decoder"):
        blocks = params[side]["blocks"]
        for layer in range(2):
            at = f"{side}.layers.{layer}."
            block = jax.tree.map(lambda x: x[layer], blocks)
            qkv = block["attention"]["qkv"]
            state[f"{at}self_attn.in_proj_weight"] = qkv["kernel"].transpose(2, 1, 3, 0).reshape(48, 16)
            state[f"{at}self_attn.in_proj_bias"] = qkv["bias"].swapaxes(0, 1).reshape(48)
            state[f"{at}self_attn.out_proj.weight"] = block["attention"]["out"]["kernel"].reshape(16, 16).T
            state[f"{at}self_attn.out_proj.bias"] = block["attention"]["out"]["bias"]
            if side == "decoder":
                parts = [block["memory"][name] for name in ("query", "key", "value")]
                biases = [part.get("bias", np.zeros(16)) for part in parts]
                state[f"{at}multihead_attn.in_proj_weight"] = np.concatenate([part["kernel"].T for part in parts])
                state[f"{at}multihead_attn.in_proj_bias"] = np.concatenate(biases)
                state[f"{at}multihead_attn.out_proj.weight"] = block["memory"]["out"]["kernel"].T
                state[f"{at}multihead_attn.out_proj.bias"] = block["memory"]["out"]["bias"]
            norms = ("attention_norm", *(["memory_norm"] if side == "decoder" else []), "mlp_norm")
            for number, name in enumerate(norms, 1):
                state[f"{at}norm{number}.weight"], state[f"{at}norm{number}.bias"] = (
                    block[name]["scale"],
                    block[name]["bias"],
                )
            for number, name in enumerate(("up", "down"), 1):
                state[f"{at}linear{number}.weight"] = block["mlp"][name]["kernel"].T
                state[f"{at}linear{number}.bias"] = block["mlp"][name]["bias"]
        last = params[side].get("final_norm", {"scale": np.ones(16), "bias": np.zeros(16)})
        state[f"{side}.norm.weight"], state[f"{side}.norm.bias"] = last["scale"], last["bias"]
    if model.order == "post":  # the norm of the last block is the last one
        theirs.encoder.norm = theirs.decoder.norm = None
        state = {name: x for name, x in state.items() if ".norm." not in name}
    theirs.load_state_dict({name: torch.tensor(np.asarray(x, np.float32)) for name, x in state.items()})
    table = torch.tensor(params["embedding"])

    def embedded(ids):
        return 4.0 * table[torch.tensor(np.asarray(ids)).long()] + torch.tensor(np.asarray(sines(jnp.arange(10), 16)))

    padding = torch.tensor(np.arange(10) >= np.asarray(given["source_length"])[:, None])
    before = np.pad(np.asarray(given["target"])[:, :-1], ((0, 0), (1, 0)))
    with torch.no_grad():
        seen = torch.nn.Transformer.generate_square_subsequent_mask(10, dtype=torch.bool)
        memory = theirs.encoder(embedded(given["source"]), src_key_padding_mask=padding)
        hidden = theirs.decoder(embedded(before), memory, tgt_mask=seen, memory_key_padding_mask=padding)
    expected = (hidden @ table.T).numpy()
    ours = np.asarray(model.logits({"translator": params}, given))
    np.testing.assert_allclose(ours[..., :30], expected[..., :30], atol=1e-4)
