"""The transformer's parameters, packing, encoders and caches; equal to BERT and T5 of transformers, with our names."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interop import peers

from genjax.decoding.beam import beam_search
from genjax.errors import UsageError
from genjax.models.language.gpt import GPT
from genjax.networks.language import Decoder, Encoder, EncoderDecoder
from genjax.networks.transformer import Caches, Config, empty_cache
from genjax.nn.attention import Mask
from genjax.nn.positions import distance_bucket
from genjax.spec import DataSpec

SIZES = {"layers": 2, "heads": 2, "width": 16, "hidden": 24, "context": 12, "vocabulary": 21, "vocabulary_multiple": 8}
GPT2 = Config(**SIZES)
LLAMA = Config(**SIZES | {"heads": 4}, kv_heads=2, positions="rope", norm="rms", mlp="swiglu", tied=False, bias=False)
BERT = Config(**SIZES, order="post", mlp="gelu_exact", eps=1e-12)
T5 = Config(
    **SIZES,
    head_size=6,
    positions="relative",
    norm="rms",
    mlp="relu",
    bias=False,
    score_scale=1.0,
    eps=1e-6,
    logit_scale=16**-0.5,
)
T5_11 = dataclasses.replace(T5, mlp="geglu", tied=False, logit_scale=1.0)

LENGTHS = np.array([7, 3, 5])


def ids(*shape, seed=1):
    return np.random.default_rng(seed).integers(1, 21, shape, dtype=np.int32)


def awake(net, *arrays, **options):
    """Random parameters, biases and scales too; drawn by shape, which spares compiling `init`."""
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(1), *arrays, **options))
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: (0.3 * rng.standard_normal(leaf.shape)).astype("f"), shapes)


def paths(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}


def test_parameters_of_gpt_are_frozen():
    """Runs, published weights and sharding rules know these names and shapes."""
    shapes = lambda model: paths(jax.eval_shape(lambda: model.init(jax.random.key(0), DataSpec())[0]))  # noqa: E731
    fields = {"layers": 3, "heads": 4, "width": 16, "context": 12, "vocabulary": 21, "vocabulary_multiple": 8}
    assert shapes(GPT(**fields)) == {
        "decoder/embedding": (24, 16),
        "decoder/positions": (12, 16),
        "decoder/blocks/attention_norm/scale": (3, 16),
        "decoder/blocks/attention_norm/bias": (3, 16),
        "decoder/blocks/attention/qkv/kernel": (3, 16, 4, 3, 4),
        "decoder/blocks/attention/qkv/bias": (3, 4, 3, 4),
        "decoder/blocks/attention/out/kernel": (3, 4, 4, 16),
        "decoder/blocks/attention/out/bias": (3, 16),
        "decoder/blocks/mlp_norm/scale": (3, 16),
        "decoder/blocks/mlp_norm/bias": (3, 16),
        "decoder/blocks/mlp/up/kernel": (3, 16, 64),
        "decoder/blocks/mlp/up/bias": (3, 64),
        "decoder/blocks/mlp/down/kernel": (3, 64, 16),
        "decoder/blocks/mlp/down/bias": (3, 16),
        "decoder/final_norm/scale": (16,),
        "decoder/final_norm/bias": (16,),
    }
    llama = {"positions": "rope", "norm": "rms", "mlp": "swiglu", "tied": False, "bias": False}
    assert shapes(GPT(**fields, kv_heads=2, hidden=40, **llama)) == {
        "decoder/embedding": (24, 16),
        "decoder/blocks/attention_norm/scale": (3, 16),
        "decoder/blocks/attention/qkv/kernel": (3, 16, 2, 4, 4),
        "decoder/blocks/attention/out/kernel": (3, 4, 4, 16),
        "decoder/blocks/mlp_norm/scale": (3, 16),
        "decoder/blocks/mlp/up/kernel": (3, 16, 40),
        "decoder/blocks/mlp/gate/kernel": (3, 16, 40),
        "decoder/blocks/mlp/down/kernel": (3, 40, 16),
        "decoder/final_norm/scale": (16,),
        "decoder/head/kernel": (16, 24),
    }


@pytest.mark.parametrize("config", [GPT2, LLAMA, T5], ids=["gpt2", "llama", "t5"])
def test_packed_texts_are_as_alone(config):
    net, tokens = Decoder(config), ids(1, 10)
    params = awake(net, tokens)
    apply = jax.jit(lambda tokens, mask: net.apply(params, tokens, mask=mask))
    packed = apply(tokens, Mask(causal=True, segments_BT=np.array([[1] * 4 + [2] * 6])))
    for first, last in ((0, 4), (4, 10)):
        alone = apply(tokens[:, first:last], Mask(causal=True))
        np.testing.assert_allclose(packed[:, first:last], alone, atol=1e-5)


@pytest.mark.parametrize("config", [BERT, T5], ids=["bert", "t5"])
def test_an_encoder_sees_both_sides_and_no_padding(config):
    net, tokens = Encoder(config), ids(3, 7)
    params = awake(net, tokens)
    apply = jax.jit(lambda tokens: net.apply(params, tokens, mask=Mask(lengths_B=LENGTHS)))
    before = apply(tokens)
    padding, last = tokens.copy(), tokens.copy()
    padding[np.arange(7) >= LENGTHS[:, None]] = 20
    last[np.arange(3), LENGTHS - 1] = 0
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(apply(padding)[row, :length], before[row, :length])
        assert abs(apply(last)[row, 0] - before[row, 0]).max() > 1e-3


@pytest.mark.parametrize("config", [GPT2, T5], ids=["learned", "relative"])
def test_caches_of_an_encoder_decoder(config):
    """Token by token, the memory read at the first call only, as all at once."""
    net, source, target = EncoderDecoder(config), ids(3, 7), ids(3, 9, seed=3)
    params = awake(net, source, target)
    full = jax.jit(lambda: net.apply(params, source, target, lengths_B=LENGTHS))()
    memory = net.apply(params, source, lengths_B=LENGTHS, method="encode")
    decode = jax.jit(lambda *x, **options: net.apply(params, *x, lengths_B=LENGTHS, method="decode", **options))
    cache = empty_cache(config, 3, 9, memory_slots=7)
    logits, cache = decode(target[:, :4], memory_BSD=memory, cache=cache, start=0)
    np.testing.assert_allclose(logits, full[:, :4], atol=1e-5)
    for t in range(4, 9):
        logits, cache = decode(target[:, t : t + 1], cache=cache, start=t)
        np.testing.assert_allclose(logits[:, 0], full[:, t], atol=1e-5)


def test_the_memory_reaches_the_logits_and_dropout_belongs_to_the_example():
    net, source, target = EncoderDecoder(dataclasses.replace(T5, dropout=0.3)), ids(3, 7), ids(3, 5, seed=3)
    params = awake(net, source, target)
    apply = jax.jit(lambda s, t, index: net.apply(params, s, t, index, rngs={"dropout": jax.random.key(0)}))
    same = [np.stack([x[0], x[1], x[0]]) for x in (source, target)]
    y = apply(*same, np.array([4, 5, 4]))
    np.testing.assert_allclose(y[0], y[2], atol=1e-5)
    assert abs(apply(*same, np.array([6, 5, 4]))[0] - y[0])[:, :21].max() > 1e-3
    other = apply(np.roll(same[0], 1, axis=1), same[1], np.array([4, 5, 4]))
    assert abs(other - y)[..., :21].max() > 1e-3


def test_initializers():
    """GPT-2: 0.02, less onto the residual stream; Glorot: variance 2 / (inputs + outputs), the embedding 1 / width."""
    sizes = SIZES | {"width": 64, "hidden": 256, "vocabulary": 512}
    for name, embedding, up, down in (("normal", 0.02, 0.02, 0.01), ("glorot", 64**-0.5, *2 * [(2 / 320) ** 0.5])):
        net = EncoderDecoder(Config(**sizes, initializer=name))
        params = jax.jit(net.init)(jax.random.key(0), ids(1, 4), ids(1, 4))["params"]
        mlp = params["decoder"]["blocks"]["mlp"]
        for array, std in ((params["embedding"], embedding), (mlp["up"]["kernel"], up), (mlp["down"]["kernel"], down)):
            assert np.isclose(array.std(), std, rtol=0.05)


def test_distances():
    """By hand from the paper's words: 8 buckets of one side are distances 0 to 3, then 4 to 5, 6 to 9, 10 to 15, 16."""
    bucket = lambda distance, both: distance_bucket(  # noqa: E731
        jnp.array(distance), both_sides=both, buckets=16 if both else 8, farthest=16
    ).tolist()
    past = [0, -1, -3, -4, -5, -6, -7, -8, -11, -12, -15, -16, -99]
    assert bucket(past, False) == [0, 1, 3, 4, 4, 5, 5, 6, 6, 7, 7, 7, 7]
    assert bucket(past, True) == bucket(past, False)
    assert bucket([1, 5, 99], True) == [9, 12, 15] and bucket([1, 5, 99], False) == [0, 0, 0]


def test_wrong_sizes_name_the_class():
    for fields, message in (
        ({"head_size": 0}, "Config: head_size is 0"),
        ({"heads": 3}, "heads 3 must divide width 16"),
        ({"positions": "rope", "head_size": 5}, "rope needs an even"),
    ):
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(GPT2, **fields)


# Weights of transformers as ours.


def disturbed(torch, peer):
    """In evaluation mode, with biases and scales of their own: a wrong mapping must show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return peer.eval()


class Weights:
    """torch's parameters by name; `stack` gives those of all layers, kernels as (in, out)."""

    def __init__(self, peer, layers=2):
        self.tensors = {name: value.detach().numpy() for name, value in peer.state_dict().items()}
        self.layers = layers

    def __getitem__(self, name):
        return self.tensors[name]

    def stack(self, name):
        return np.stack([self.tensors[name.format(layer)].T for layer in range(self.layers)])

    def norm(self, name):
        return {"scale": self.stack(f"{name}.weight"), "bias": self.stack(f"{name}.bias")}

    def linear(self, name):
        return {"kernel": self.stack(f"{name}.weight"), "bias": self.stack(f"{name}.bias")}

    def grouped(self, names, out, heads, bias):
        """Self-attention in the layout "grouped", as many key-value heads as heads."""
        kernels = [self.stack(f"{name}.weight") for name in names]
        layers, width, inner = kernels[0].shape
        size = inner // heads
        qkv = {"kernel": np.stack([k.reshape(layers, width, heads, size) for k in kernels], axis=3)}
        output = {"kernel": self.stack(f"{out}.weight").reshape(layers, heads, size, width)}
        if bias:
            biases = [self.stack(f"{name}.bias").reshape(layers, heads, size) for name in names]
            qkv["bias"], output["bias"] = np.stack(biases, axis=2), self.stack(f"{out}.bias")
        return {"qkv": qkv, "out": output}


def padded(table):
    return np.pad(table, ((0, 3), (0, 0)))


def from_bert(w):
    layer = "encoder.layer.{}"
    names = [f"{layer}.attention.self.{name}" for name in ("query", "key", "value")]
    return {
        "embedding": padded(w["embeddings.word_embeddings.weight"]),
        "positions": w["embeddings.position_embeddings.weight"],
        "kinds": w["embeddings.token_type_embeddings.weight"],
        "embedding_norm": {"scale": w["embeddings.LayerNorm.weight"], "bias": w["embeddings.LayerNorm.bias"]},
        "blocks": {
            "attention": w.grouped(names, f"{layer}.attention.output.dense", 2, bias=True),
            "attention_norm": w.norm(f"{layer}.attention.output.LayerNorm"),
            "mlp": {"up": w.linear(f"{layer}.intermediate.dense"), "down": w.linear(f"{layer}.output.dense")},
            "mlp_norm": w.norm(f"{layer}.output.LayerNorm"),
        },
    }


@pytest.mark.peers
def test_equals_transformers_bert():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=21,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
    )
    peer = disturbed(torch, transformers.BertModel(config, add_pooling_layer=False))
    net, tokens, kind = Encoder(BERT, kinds=2), ids(3, 7), np.arange(7)[None] // 3 % 2 * np.ones((3, 1), int)
    params = from_bert(Weights(peer))
    assert paths(params) == paths(awake(net, tokens)["params"])
    counts = np.arange(7) < LENGTHS[:, None]
    with torch.no_grad():
        theirs = peer(
            torch.from_numpy(tokens).long(),
            attention_mask=torch.from_numpy(counts).long(),
            token_type_ids=torch.from_numpy(kind).long(),
        ).last_hidden_state.numpy()
    mask = Mask(lengths_B=LENGTHS)
    ours = jax.jit(lambda: net.apply({"params": params}, tokens, mask=mask, kind_BT=kind))()
    np.testing.assert_allclose(ours[counts], theirs[counts], atol=1e-5)


def from_t5(w, gated, tied):
    def half(name, feed):
        layer = f"{name}.block.{{}}.layer"
        ups = {"gate": "wi_0", "up": "wi_1"} if gated else {"up": "wi"}
        maps = {**ups, "down": "wo"}
        names = [f"{layer}.0.SelfAttention.{part}" for part in "qkv"]
        return {
            "relative": {"embedding": w[f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]},
            "blocks": {
                "attention_norm": {"scale": w.stack(f"{layer}.0.layer_norm.weight")},
                "attention": w.grouped(names, f"{layer}.0.SelfAttention.o", 2, bias=False),
                "mlp_norm": {"scale": w.stack(f"{layer}.{feed}.layer_norm.weight")},
                "mlp": {
                    ours: {"kernel": w.stack(f"{layer}.{feed}.DenseReluDense.{theirs}.weight")}
                    for ours, theirs in maps.items()
                },
            },
            "final_norm": {"scale": w[f"{name}.final_layer_norm.weight"]},
        }

    encoder, decoder = half("encoder", 1), half("decoder", 2)
    cross = "decoder.block.{}.layer.1"
    decoder["blocks"] |= {
        "memory_norm": {"scale": w.stack(f"{cross}.layer_norm.weight")},
        "memory": {
            ours: {"kernel": w.stack(f"{cross}.EncDecAttention.{theirs}.weight")}
            for ours, theirs in {"query": "q", "key": "k", "value": "v", "out": "o"}.items()
        },
    }
    if not tied:
        decoder["head"] = {"kernel": padded(w["lm_head.weight"]).T}
    return {"embedding": padded(w["shared.weight"]), "encoder": encoder, "decoder": decoder}


@pytest.fixture(params=["t5", "t5-1.1"])
def t5(request):
    """(transformers' model, ours, our parameters), the end of a text being id 1."""
    torch, tied = pytest.importorskip("torch"), request.param == "t5"
    peer = disturbed(torch, peers.t5(tied))
    net = EncoderDecoder(T5 if tied else T5_11)
    params = from_t5(Weights(peer), gated=not tied, tied=tied)
    assert paths(params) == paths(awake(net, ids(1, 1), ids(1, 1))["params"])
    return peer, net, {"params": params}


@pytest.mark.peers
def test_equals_transformers_t5(t5):
    """The encoder with padding, the decoder in view of it, and its caches."""
    torch = pytest.importorskip("torch")

    peer, net, params = t5
    source, target = ids(3, 7), ids(3, 9, seed=3)
    counts = np.arange(7) < LENGTHS[:, None]
    with torch.no_grad():
        out = peer(
            input_ids=torch.from_numpy(source).long(),
            attention_mask=torch.from_numpy(counts).long(),
            decoder_input_ids=torch.from_numpy(target).long(),
        )
    encode = jax.jit(lambda: net.apply(params, source, lengths_B=LENGTHS, method="encode"))
    np.testing.assert_allclose(encode()[counts], out.encoder_last_hidden_state.numpy()[counts], atol=1e-5)
    theirs = out.logits.numpy()
    ours = jax.jit(lambda: net.apply(params, source, target, lengths_B=LENGTHS))()
    np.testing.assert_allclose(ours[..., :21], theirs, atol=1e-5)
    decode = jax.jit(lambda *x, **options: net.apply(params, *x, lengths_B=LENGTHS, method="decode", **options))
    cache, memory = empty_cache(net.config, 3, 9, memory_slots=7), {"memory_BSD": encode()}
    for t in range(9):
        logits, cache = decode(target[:, t : t + 1], cache=cache, start=t, **memory)
        np.testing.assert_allclose(logits[:, 0, :21], theirs[:, t], atol=1e-5)
        memory = {}


@pytest.mark.peers
def test_beams_of_an_encoder_decoder_equal_transformers(t5):
    """Every beam of a source reads the same memory, which one call writes into the cache beforehand."""
    torch = pytest.importorskip("torch")

    peer, net, params = t5
    source, beams = ids(3, 7), 4
    theirs = peer.generate(
        torch.from_numpy(source).long(),
        attention_mask=torch.from_numpy(np.arange(7) < LENGTHS[:, None]).long(),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=8,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    lengths = np.repeat(LENGTHS, beams)

    def decode(tokens, cache, start, **memory):
        options = {"lengths_B": lengths, "cache": cache, "start": start, **memory}
        logits, cache = net.apply(params, tokens, method="decode", **options)
        return jnp.where(jnp.arange(24) < 21, logits, -jnp.inf), cache

    @jax.jit
    def search():
        memory = jnp.repeat(net.apply(params, source, lengths_B=LENGTHS, method="encode"), beams, axis=0)
        start = jnp.zeros((3, 1), jnp.int32)
        cache = empty_cache(net.config, 3 * beams, 9, memory_slots=7)
        _, cache = decode(jnp.repeat(start, beams, axis=0), cache, 0, memory_BSD=memory)
        return beam_search(
            decode,
            Caches.rows,
            cache,
            start,
            jnp.ones(3, jnp.int32),
            beams=beams,
            new_tokens=8,
            stop_N=jnp.ones(3, jnp.int32),
        )

    ours = search()
    np.testing.assert_allclose(ours.score_NK.reshape(-1), theirs.sequences_scores.numpy(), rtol=1e-5)
    width = theirs.sequences.shape[1]
    expected = np.where(np.arange(width) < ours.length_NK.reshape(-1, 1), theirs.sequences.numpy(), 0)
    np.testing.assert_array_equal(ours.tokens_NKT.reshape(3 * beams, -1)[:, :width], expected)
