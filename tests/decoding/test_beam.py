"""Beam search against all texts, against the longest search, and against transformers'."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.decoding.beam import beam_search
from genjax.interop.family import to_ours
from genjax.interop.gpt2 import GPT2
from genjax.models.language.gpt import GPT, GPTOptions
from genjax.networks.transformer import Caches, empty_cache

VOCABULARY, STOP, NEW = 4, 0, 4
TABLE = jax.nn.log_softmax(2 * jnp.array(np.random.default_rng(3).standard_normal((7, VOCABULARY)), jnp.float32))


def sum_model(tokens_NT, cache_NS, start):
    """A "language model" that knows the sum of all ids it sees, modulo 7."""
    cache_NS = jax.lax.dynamic_update_slice(cache_NS, tokens_NT, (0, start))
    seen = jnp.arange(cache_NS.shape[1]) <= start + jnp.arange(tokens_NT.shape[1])[:, None]
    return TABLE[jnp.einsum("ns,ts->nt", cache_NS, seen.astype(jnp.int32)) % 7], cache_NS


def run(prompts, beams, length_penalty, stop=STOP):
    width = max(map(len, prompts))
    prompt = np.array([p + [3] * (width - len(p)) for p in prompts], np.int32)
    return jax.jit(
        lambda prompt, length: beam_search(
            sum_model,
            lambda cache, rows: cache[rows],
            jnp.full((len(prompts) * beams, width + NEW), 5, jnp.int32),  # garbage: must not be seen
            prompt,
            length,
            beams=beams,
            new_tokens=NEW,
            stop_N=jnp.full(len(prompts), stop),
            length_penalty=length_penalty,
        )
    )(prompt, np.array([len(p) for p in prompts]))


def all_texts(prompt, length_penalty):
    """(score, continuation) of every text there is, the best first."""
    found = {}
    for text in itertools.product(range(VOCABULARY), repeat=NEW):
        text = text[: text.index(STOP) + 1] if STOP in text else text
        total = sum(float(TABLE[(sum(prompt) + sum(text[:i])) % 7, token]) for i, token in enumerate(text))
        found[text] = total / len(text) ** length_penalty
    return sorted(((score, text) for text, score in found.items()), reverse=True)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -1.0])
def test_wide_enough_it_finds_the_best(length_penalty):
    """With 64 beams nothing is cut off; the unequal prompts are read token by token."""
    prompts = [[3], [1, 2, 3, 2], [2, 2]]
    out = run(prompts, 64, length_penalty)
    for row, prompt in enumerate(prompts):
        score, text = all_texts(prompt, length_penalty)[0]
        length = int(out.length_NK[row, 0])
        assert out.tokens_NKT[row, 0, :length].tolist() == prompt + list(text)
        assert not out.tokens_NKT[row, 0, length:].any()
        assert out.score_NK[row, 0] == pytest.approx(score, abs=1e-5)
        assert (np.diff(out.score_NK[row]) <= 0).all()


def test_a_row_does_not_depend_on_the_others():
    prompts = [[3], [1, 2, 3, 2], [2, 2]]
    together, alone = run(prompts, 3, 1.0), run(prompts[1:2], 3, 1.0)
    np.testing.assert_allclose(together.score_NK[1], alone.score_NK[0], atol=1e-5)
    np.testing.assert_array_equal(together.tokens_NKT[1], alone.tokens_NKT[0])


def test_without_a_stop_one_beam_is_greedy():
    out = run([[3], [1]], 1, 1.0, stop=-1)
    for row, text in enumerate(([3], [1])):
        for _ in range(NEW):
            text.append(int(TABLE[sum(text) % 7].argmax()))
        assert out.tokens_NKT[row, 0].tolist() == text


END, PAD = 18, 20  # an id that the random model below likes to write, but not at once


def peer_gpt2():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    sizes = {"vocab_size": 21, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = transformers.GPT2Config(**sizes, bos_token_id=END, eos_token_id=END, pad_token_id=PAD)
    torch.manual_seed(0)
    peer = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model = GPT(layers=2, heads=2, width=16, context=24, vocabulary=21, vocabulary_multiple=8).on("cpu")
    tensors = {name: value.numpy() for name, value in peer.state_dict().items()}
    return torch, peer, model, jax.tree.map(jnp.asarray, to_ours(GPT2, model, tensors, 2))


@pytest.mark.peers
@pytest.mark.parametrize("beams, length_penalty", [(2, 1.0), (4, 0.0), (4, 2.0), (5, -1.0)])
def test_equals_transformers(beams, length_penalty):
    torch, peer, model, params = peer_gpt2()
    prompt = np.random.default_rng(0).integers(0, 18, (6, 3)).astype(np.int32)
    ids = torch.from_numpy(prompt).long()
    options = {"num_beams": beams, "num_return_sequences": beams, "length_penalty": length_penalty}
    theirs = peer.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=12,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    decoder = model.networks()["decoder"]
    extend = lambda x, cache, start: decoder.apply({"params": params["decoder"]}, x, cache=cache, start=start)  # noqa: E731
    ours = jax.jit(
        lambda: beam_search(
            extend,
            Caches.rows,
            empty_cache(model, 6 * beams, 15),
            prompt,
            jnp.full(6, 3),
            beams=beams,
            new_tokens=12,
            stop_N=jnp.full(6, END),
            length_penalty=length_penalty,
        )
    )()
    np.testing.assert_allclose(ours.score_NK.reshape(-1), theirs.sequences_scores.numpy(), rtol=1e-6)
    length, width = ours.length_NK.reshape(-1, 1), theirs.sequences.shape[1]
    expected = np.where(np.arange(width) < length, theirs.sequences.numpy(), 0)
    np.testing.assert_array_equal(ours.tokens_NKT.reshape(6 * beams, -1)[:, :width], expected)
    np.testing.assert_array_equal((theirs.sequences.numpy() != PAD).sum(1), length[:, 0])
    assert len(set(length[:, 0].tolist())) > 1  # texts end at different places

    run = jax.jit(model.sample, static_argnums=4)
    conditions = {"index": np.arange(6), "prompt": prompt, "prompt_length": np.full(6, 3), "stop": np.array(END)}
    out = run(
        params,
        {},
        jax.random.key(0),
        conditions,
        GPTOptions(beams=beams, length_penalty=length_penalty, max_new_tokens=12),
    )
    np.testing.assert_array_equal(out["tokens"], ours.tokens_NKT[:, 0])
    np.testing.assert_array_equal(out["tokens_length"], ours.length_NK[:, 0])
