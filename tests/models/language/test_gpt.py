"""GPT: shapes, loss, masks, dropout, cached decoding, sampling, options, sharding rules, and peers."""

import dataclasses
import functools
import math
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.interop.family import to_ours
from genjax.interop.gpt2 import GPT2
from genjax.models.language.gpt import GPT, GPTOptions
from genjax.networks import transformer
from genjax.spec import DataSpec, Image, Tokens


def text(vocabulary=21, context=12):
    return DataSpec({"tokens": Tokens((context,), vocabulary, shifted=True)})


SPEC = text()
TINY = GPT(layers=2, heads=2, width=16, vocabulary_multiple=8)
LLAMA = GPT(
    layers=2,
    heads=4,
    kv_heads=2,
    width=16,
    hidden=24,
    positions="rope",
    norm="rms",
    mlp="swiglu",
    tied=False,
    bias=False,
    vocabulary_multiple=8,
)


@functools.partial(jax.jit, static_argnums=0)
def init(model):
    return model.init(jax.random.key(0), SPEC)


@functools.partial(jax.jit, static_argnums=0)
def logits_of(model, params, tokens):
    return model.logits(params, tokens)


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def loss(model, params, batch, key=0, train=False):
    return model.loss("next_token", params, {}, batch, jax.random.key(key), step=0, train=train)


def build(model, scale=5.0):
    """The resolved model and random parameters, large enough that logits differ visibly."""
    model = model.resolve(SPEC).on("cpu")
    params, state = init(model)
    assert state == {}
    return model, jax.tree.map(lambda x: scale * x, params)


def make_batch(n=3, t=12, vocabulary=21):
    tokens = np.random.default_rng(1).integers(0, vocabulary, (n, t + 1), dtype=np.int32)
    return {"tokens": tokens, "index": np.arange(n, dtype=np.int32)}


def test_parameters_are_gpt2s():
    model = GPT(context=1024, vocabulary=50257)
    tree = jax.eval_shape(lambda: model.init(jax.random.key(0), SPEC)[0])
    padding = (model.padded_vocabulary - 50257) * 768
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(tree)) - padding == 124_439_808
    assert tree["decoder"]["blocks"]["attention"]["qkv"]["kernel"].shape == (12, 768, 12, 3, 64)


def test_initialization_scale():
    params = init(GPT(layers=8, heads=2, width=64).resolve(SPEC))[0]["decoder"]
    blocks = params["blocks"]
    for kernel in (
        params["embedding"],
        params["positions"],
        blocks["attention"]["qkv"]["kernel"],
    ):
        assert np.std(kernel) == pytest.approx(0.02, rel=0.1)
    for kernel in (blocks["attention"]["out"]["kernel"], blocks["mlp"]["down"]["kernel"]):
        assert np.std(kernel) == pytest.approx(0.02 / 4, rel=0.05)
    assert not np.allclose(blocks["mlp"]["up"]["kernel"][0], blocks["mlp"]["up"]["kernel"][1])


@pytest.mark.parametrize("model", [TINY, LLAMA], ids=["gpt2", "llama"])
def test_causal(model):
    model, params = build(model)
    tokens = make_batch()["tokens"][:, :-1]
    changed = tokens.copy()
    changed[:, 7] = (changed[:, 7] + 1) % 21
    before, after = logits_of(model, params, tokens), logits_of(model, params, changed)
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-5)
    assert np.abs(before - after)[:, 7:, :21].max(axis=(0, 2)).min() > 1e-3


def test_loss_is_the_mean_over_unmasked_targets():
    model, params = build(TINY)
    batch = make_batch()
    logits = np.asarray(logits_of(model, params, batch["tokens"][:, :-1]), np.float64)[..., :21]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))  # over the real ids only
    nats = -np.take_along_axis(log_p, batch["tokens"][:, 1:, None], -1)[..., 0]
    out = loss(model, params, batch)
    assert out.loss == pytest.approx(nats.mean(), rel=1e-5)
    assert out.terms["cross_entropy"].count == 36
    mask = np.random.default_rng(2).random((3, 12)) < 0.4
    out = loss(model, params, {**batch, "mask": mask})
    assert out.loss == pytest.approx(nats[mask].mean(), rel=1e-5)
    assert out.terms["cross_entropy"].count == mask.sum()
    nothing = loss(model, params, {**batch, "mask": np.zeros((3, 12), bool)})
    assert nothing.loss == 0 and nothing.terms["cross_entropy"].count == 0
    ragged = loss(model, params, {**batch, "tokens_length": np.array([13, 1, 4])})
    kept = np.concatenate([nats[0], nats[2, :3]])  # a text of n ids has n - 1 targets
    assert ragged.loss == pytest.approx(kept.mean(), rel=1e-5)

    counts = {**batch, "mask": mask, "valid": np.array([True, True, False]), "bytes": np.full((3, 12), 3)}
    metrics = jax.jit(model.evaluate)(params, {}, counts, jax.random.key(0))
    assert metrics["loss"].total == pytest.approx(nats[:2][mask[:2]].sum(), rel=1e-5)
    assert metrics["loss"].count == mask[:2].sum()
    correct = logits.argmax(-1) == batch["tokens"][:, 1:]
    assert metrics["accuracy"].total == correct[:2][mask[:2]].sum()
    assert metrics["bits_per_byte"].total == pytest.approx(float(metrics["loss"].total) / math.log(2), rel=1e-5)
    assert metrics["bits_per_byte"].count == 3 * mask[:2].sum()
    assert model.finalize({"loss": 2.0})["perplexity"] == pytest.approx(math.exp(2.0))


@pytest.mark.parametrize("change", [{"remat": "dots"}, {"remat": "full"}, {"unroll": 1}], ids=str)
def test_gradient_does_not_depend_on_remat_and_unroll(change):
    model, params = build(TINY)
    other = dataclasses.replace(model, **change)
    batch = make_batch()
    ours, theirs = (jax.jit(jax.grad(lambda p, m=m: loss(m, p, batch).loss))(params) for m in (model, other))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, theirs)


def test_dropout_belongs_to_the_example():
    model, params = build(dataclasses.replace(TINY, dropout=0.3))
    batch = make_batch()
    assert loss(model, params, batch, train=False).loss == loss(model, params, batch, key=1).loss
    assert loss(model, params, batch, train=True).loss != loss(model, params, batch, key=1, train=True).loss
    rows = [{k: v[i : i + 1] for k, v in batch.items()} for i in range(3)]
    mean = np.mean([loss(model, params, row, train=True).loss for row in rows])
    assert loss(model, params, batch, train=True).loss == pytest.approx(mean, rel=1e-5)


def test_bfloat16_keeps_parameters_and_loss_float32():
    model, params = build(dataclasses.replace(TINY, dtype="bfloat16"), scale=1.0)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))
    out = loss(model, params, make_batch())
    assert out.loss.dtype == jnp.float32
    exact = loss(dataclasses.replace(model, dtype=None), params, make_batch())
    assert 0 < abs(out.loss - exact.loss) < 0.02


@pytest.mark.parametrize("model", [TINY, LLAMA], ids=["gpt2", "llama"])
def test_cached_logits_equal_uncached(model):
    model, params = build(model)
    tokens = make_batch()["tokens"][:, :-1]
    full = logits_of(model, params, tokens)
    decoder = model.networks()["decoder"]
    extend = jax.jit(lambda x, c, s: decoder.apply({"params": params["decoder"]}, x, cache=c, start=s))
    logits, cache = extend(tokens[:, :5], transformer.empty_cache(model, 3, 12), 0)
    np.testing.assert_allclose(logits, full[:, :5], atol=1e-5)
    for t in range(5, 12):
        logits, cache = extend(tokens[:, t : t + 1], cache, t)
        np.testing.assert_allclose(logits[:, 0], full[:, t], atol=1e-5)


def sample(model, params, conditions, **options):
    n = len(conditions["index"])
    run = jax.jit(model.sample, static_argnums=4)
    out = run(params, {}, jax.random.key(5), conditions, GPTOptions(**options))
    assert out["tokens"].shape[0] == out["tokens_length"].shape[0] == n
    return [row[:k].tolist() for row, k in zip(np.asarray(out["tokens"]), np.asarray(out["tokens_length"]))]


def test_greedy_follows_the_uncached_argmax():
    model, params = build(TINY)
    (tokens,) = sample(model, params, {"index": np.arange(1), "start": np.array([3])}, temperature=0.0)
    assert tokens[0] == 3 and len(tokens) == 12
    best = np.argmax(logits_of(model, params, np.array([tokens])), -1)[0]
    assert tokens[1:] == best[:-1].tolist()


def test_sampling_does_not_depend_on_the_batch_or_the_context():
    model, params = build(TINY, scale=2.0)
    prompt = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
    conditions = {"index": np.array([9, 4, 2]), "prompt": prompt, "prompt_length": np.array([4, 2, 1])}
    together = sample(model, params, conditions, max_new_tokens=25)  # twice past the context of 12
    assert [len(t) for t in together] == [29, 27, 26]
    for i in (0, 2):
        length = conditions["prompt_length"][i : i + 1]
        alone = {"index": conditions["index"][i : i + 1], "prompt": prompt[i : i + 1, : length[0]]}
        assert sample(model, params, {**alone, "prompt_length": length}, max_new_tokens=25)[0] == together[i]


def test_padded_ids_are_never_drawn_and_stop_ends():
    model, params = build(TINY, scale=0.0)  # every real id is equally likely
    assert model.padded_vocabulary == 24
    rows = sample(model, params, {"index": np.arange(64)}, temperature=50.0)
    assert {t for row in rows for t in row} == set(range(21))
    stopped = sample(model, params, {"index": np.arange(64), "stop": np.array(7)}, temperature=50.0)
    for row, free in zip(stopped, rows):
        assert row == (free[: free.index(7) + 1] if 7 in free else free)
    assert any(len(row) < 12 for row in stopped)
    two = np.tile([-1, 7, 3], (64, 1))
    for row, free in zip(sample(model, params, {"index": np.arange(64), "stop": two}, temperature=50.0), rows):
        end = next((i for i, token in enumerate(free) if token in (3, 7)), len(free))
        assert row == free[: end + 1]


def test_beams_find_a_likelier_text_than_greed():
    model, params = build(TINY)
    conditions = {"index": np.arange(8), "start": np.arange(8)}
    score = lambda rows: sum(  # noqa: E731
        float(jax.nn.log_softmax(logits_of(model, params, np.array([row])))[0, t, row[t + 1]])
        for row in rows
        for t in range(11)
    )
    greedy, found = sample(model, params, conditions, temperature=0.0), sample(model, params, conditions, beams=4)
    assert score(found) > score(greedy) + 0.1
    with pytest.raises(UsageError, match="--beams: 1 tokens of prompt and 12 new ones do not fit"):
        sample(model, params, conditions, beams=4, max_new_tokens=12)


def test_texts_that_share_a_row_are_as_alone():
    model, params = build(TINY)
    tokens = make_batch(1)["tokens"]
    segment = np.array([[1] * 5 + [2] * 6 + [0] * 2])
    packed = {"tokens": tokens, "tokens_segment": segment, "tokens_length": np.array([11]), "index": np.arange(1)}
    one, two = (loss(model, params, {"tokens": t, "index": np.arange(1)}) for t in (tokens[:, :5], tokens[:, 5:11]))
    both = loss(model, params, packed)
    assert both.terms["cross_entropy"].count == 4 + 5
    assert both.loss == pytest.approx(float(4 * one.loss + 5 * two.loss) / 9, rel=1e-5)


def test_ids_that_only_the_model_has_are_never_drawn():
    model, params = build(dataclasses.replace(TINY, vocabulary=37), scale=0.0)
    assert (model.vocabulary, model.padded_vocabulary, model.data_vocabulary) == (37, 40, 21)
    rows = sample(model, params, {"index": np.arange(64)}, temperature=1e35, top_k=30)
    assert {t for row in rows for t in row} == set(range(21))
    assert model.resolve(SPEC) == model
    with pytest.raises(UserError, match=r"model\.data_vocabulary is 21, but the data has 22"):
        model.resolve(text(vocabulary=22))


def given(tokenizer, end=None):
    fields = {"tokens": dataclasses.replace(SPEC.fields["tokens"], end=end)}
    return types.SimpleNamespace(spec=dataclasses.replace(SPEC, fields=fields), tokenizer=tokenizer)


@pytest.mark.parametrize("spare", [1, 0, -1])
def test_a_prompt_that_leaves_no_room_is_refused(spare):
    model, params = build(TINY)
    long = model.context - spare
    prompt = {"index": np.array([0]), "prompt": np.ones((1, long), int), "prompt_length": np.array([long])}
    with pytest.raises(UsageError, match=f"a prompt of {long} tokens leaves no room in the context of {model.context}"):
        sample(model, params, prompt)
    assert sample(model, params, prompt, max_new_tokens=2)[0]


@pytest.mark.parametrize("texts", [{"prompt": ("def ",)}, {"stop": "\\n"}])
def test_texts_are_no_conditions(texts):
    model, params = build(TINY)
    with pytest.raises(UsageError, match="prompt and stop are texts, and `sample` takes ids"):
        sample(model, params, {"index": np.arange(2)}, **texts)
    with pytest.raises(UsageError, match="`prompt` holds ids"):
        model.sample(params, {}, jax.random.key(0), {"index": np.arange(1), "prompt": "def "}, model.Options())


def test_prompts_are_repeated_and_padded():
    model, char = TINY.resolve(SPEC), make_tokenizer("char", "ab\n")
    arrays, options = GPTOptions(prompt=("ab", "", "b"), top_k=3).conditions(model, given(char), 3)
    a, b, line = (int(char.encode(c)[0]) for c in "ab\n")
    assert arrays["prompt"].tolist() == [[a, b], [b, 0], [a, b]] and arrays["prompt_length"].tolist() == [2, 1, 2]
    assert options == GPTOptions(top_k=3)
    assert GPTOptions().conditions(model, given(char), 2)[0]["prompt"].tolist() == [[line], [line]]
    assert GPTOptions().conditions(model, given(make_tokenizer("char", "ab")), 1)[0]["prompt"].tolist() == [[0]]
    bpe = make_tokenizer("bpe:257", "ab\n")
    seen = (bpe.end_of_text, None)
    before = [GPTOptions().conditions(model, given(bpe, end), 1)[0]["prompt"].tolist() for end in seen]
    assert before == [[[bpe.end_of_text]], [bpe.encode("\n").tolist()]]  # training saw what its field says
    assert GPTOptions().conditions(model, given(None), 2) == ({}, GPTOptions())


def test_prompts_of_a_file(tmp_path):
    model, char, file = TINY.resolve(SPEC), make_tokenizer("char", "ab\n"), tmp_path / "prompts.txt"
    file.write_text("ab\nb\n")
    options = GPTOptions(path=file, top_k=3)
    assert options.count == 2 and GPTOptions(prompt=("ab", "b")).count is None
    arrays, rest = options.conditions(model, given(char), 2)
    expected, _ = GPTOptions(prompt=("ab", "b")).conditions(model, given(char), 2)
    np.testing.assert_array_equal(arrays["prompt"], expected["prompt"])
    assert rest == GPTOptions(top_k=3)
    file.write_bytes(b"ab\r\nb\r\n")
    np.testing.assert_array_equal(options.conditions(model, given(char), 2)[0]["prompt"], expected["prompt"])
    for text, line in (("ab\n\nb", 2), ("", 1)):
        file.write_text(text)
        with pytest.raises(UsageError, match=rf"prompts\.txt: line {line} is empty"):
            options.conditions(model, given(char), 2)
    with pytest.raises(UsageError, match="take one of the two"):
        GPTOptions(path=file, prompt=("a",))


def test_a_stop_is_one_token_beside_the_end_of_text():
    model = TINY.resolve(SPEC)
    char, bpe = make_tokenizer("char", "ab\n"), make_tokenizer("bpe:257", "ab\n")
    arrays, options = GPTOptions(stop="\n").conditions(model, given(char), 2)
    assert arrays["stop"].tolist() == [[-1, 0]] * 2 and options == GPTOptions()
    arrays, _ = GPTOptions(stop="\n").conditions(model, given(bpe), 2)
    assert arrays["stop"].tolist() == [[bpe.end_of_text, bpe.encode("\n")[0]]] * 2
    assert GPTOptions().conditions(model, given(bpe), 1)[0]["stop"].tolist() == [[bpe.end_of_text]]
    for stop, message in (("ab", "must be one token .* not 2"), ("", "not 0"), ("z", "'z' does not occur")):
        with pytest.raises(UsageError, match=f"--stop '{stop}': .*{message}"):
            GPTOptions(stop=stop).conditions(model, given(char), 2)
    for options in (GPTOptions(stop="a"), GPTOptions(prompt=("a",))):
        with pytest.raises(UsageError, match="no tokenizer"):
            options.conditions(model, given(None), 2)


def test_fields_that_it_expects_and_makes():
    assert TINY.expects() == {}
    model = TINY.resolve(SPEC)
    assert model.expects() == SPEC.fields
    assert model.outputs(SPEC) == {"tokens": Tokens((12,), 21, ragged=True)}
    assert model.needs(GPTOptions()) == ()


def test_wrong_options_are_usage_errors():
    for options in ({"temperature": -1.0}, {"temperature": math.nan}, {"top_k": -1}, {"top_p": 0.0}):
        with pytest.raises(UsageError):
            GPTOptions(**options)
    for options in ({"max_new_tokens": 0}, {"beams": 0}, {"beams": 2, "temperature": 0.5}):
        with pytest.raises(UsageError):
            GPTOptions(**options)
    for fields in ({"heads": 3}, {"kv_heads": 5}, {"layers": 0}, {"dropout": 1.0}):
        with pytest.raises(UsageError):
            GPT(**{"width": 64, "heads": 4, **fields})
    with pytest.raises(UserError, match="less than the data's 12"):
        dataclasses.replace(TINY, context=8).resolve(SPEC)
    with pytest.raises(UserError, match="GPT needs the field `tokens`"):
        TINY.resolve(DataSpec({"image": Image(8, 8, 1)}))


@pytest.mark.parametrize("model", [GPT(), dataclasses.replace(LLAMA, bias=True)], ids=["gpt2", "llama"])
def test_every_rule_fits_its_parameter(model):
    model = model.resolve(SPEC)
    tree = jax.eval_shape(lambda: model.init(jax.random.key(0), SPEC)[0])
    leaves = {"/".join(k.key for k in path): x for path, x in jax.tree_util.tree_leaves_with_path(tree)}
    kernels = {path for path, x in leaves.items() if path.endswith(("kernel", "embedding", "positions"))}
    matched = set()
    for rule, spec in model.rules:
        for path in (p for p in leaves if re.fullmatch(rule, p)):
            assert len(spec) == leaves[path].ndim, path
            matched.add(path)
    assert kernels <= matched


@pytest.mark.peers
def test_equals_transformers_gpt2():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=21,
        n_positions=12,
        n_embd=16,
        n_layer=2,
        n_head=2,
        attn_pdrop=0,
        embd_pdrop=0,
        resid_pdrop=0,
    )
    torch.manual_seed(0)
    peer = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # biases and scales too: a wrong mapping must show
            parameter.add_(0.2 * torch.randn_like(parameter))
    model = TINY.resolve(SPEC).on("cpu")
    tensors = {name: value.numpy() for name, value in peer.state_dict().items()}
    params = to_ours(GPT2, model, tensors, 2)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), SPEC)[0])
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
    batch = make_batch()
    inputs = torch.from_numpy(batch["tokens"][:, :-1]).long()
    with torch.no_grad():
        theirs = peer(inputs).logits
        peer_loss = torch.nn.functional.cross_entropy(
            theirs.reshape(-1, 21), torch.from_numpy(batch["tokens"][:, 1:]).long().reshape(-1)
        )
    ours = logits_of(model, params, batch["tokens"][:, :-1])[..., :21]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    assert loss(model, params, batch).loss == pytest.approx(peer_loss.item(), abs=1e-5)
