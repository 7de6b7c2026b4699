"""Folders of transformers and diffusers: read, written, loaded there; and those that are refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interop.peers import DECODERS, LLAMA, SIZES, TRANSLATORS, disturbed

from genjax.data.portable import portable
from genjax.data.tokenizers import ByteTokenizer, CharTokenizer, load_tokenizer
from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.models import GPT, VAE, Diffusion, DiTConfig, Latents, Translation
from genjax.models.language.translation_options import TranslationOptions
from genjax.networks import SpatialAutoencoder
from genjax.runs.foreign import export_folder, read_folder
from genjax.runs.initialize import load_weights
from genjax.runs.sources import parse
from genjax.spec import DataSpec, Image

LENGTHS = np.array([7, 3, 5])
WORDS = DataSpec({})


def ids(*shape, seed=1):
    return np.random.default_rng(seed).integers(2, 20, shape, dtype=np.int32)


def export(model, params, folder, tokenizer=None):
    nothing = EMA({}, {}, {})
    state = TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state={}, ema=nothing, model_state={})
    return export_folder(model, state, folder, tokenizer)


def random_params(model, spec=WORDS):
    """Of all parameters, biases too; the rows that fill the vocabulary up are 0, as nothing reads them."""
    shapes, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), spec))
    draw = np.random.default_rng(0)

    def leaf(path, x):
        y = (0.3 * draw.standard_normal(x.shape)).astype(np.float32)
        name = jax.tree_util.keystr(path)
        if name.endswith(("['embedding']", "['logit_bias']")) and "relative" not in name:
            y[21:] = 0
        if "head" in name:
            y[:, 21:] = 0
        return y

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def require_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def same_files(a, b):
    from safetensors.numpy import load_file

    a, b = (load_file(folder / "model.safetensors") for folder in (a, b))
    shared = a.keys() & b.keys()
    assert shared and all("embed" in name or name == "lm_head.weight" for name in a.keys() ^ b.keys())
    for name in shared:
        np.testing.assert_array_equal(a[name], b[name])


# Without transformers.

OURS = {name: model for name, (_, model) in (DECODERS | TRANSLATORS).items()}


@pytest.mark.parametrize("name", OURS)
def test_what_is_written_is_read_again_bit_by_bit(name, tmp_path):
    model = OURS[name].on("cpu")
    params = random_params(model)
    export(model, params, tmp_path)
    require_equal(read_folder(tmp_path, model), params)


def test_an_autoencoder_is_written_and_read_again(tmp_path):
    spec = DataSpec({"image": Image(16, 16, 3)})
    model = VAE(network=SpatialAutoencoder((32,), blocks=1), latent=2, likelihood="mse").resolve(spec)
    params = random_params(model, spec)
    export(model, params, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "AutoencoderKL"
    require_equal(read_folder(tmp_path, model), params)
    staged = Diffusion(space=Latents(first_stage=model), network=DiTConfig(patch=1, layers=1, width=8, heads=1))
    stage = staged.resolve(spec).inside("first_stage")  # --train.init-from first_stage=hf:FOLDER
    require_equal(read_folder(tmp_path, stage), params)
    wide = dataclasses.replace(staged.space, first_stage=dataclasses.replace(model, network=SpatialAutoencoder()))
    source, flag = f"first_stage=hf:{tmp_path}", "--model.space.first-stage.network"
    with pytest.raises(UserError, match=f"{source}: it is .* take {flag} SpatialAutoencoder {flag}.widths 32") as error:
        load_weights(parse(source), dataclasses.replace(staged, space=wide).resolve(spec))
    assert "(" not in str(error.value)
    with pytest.raises(UserError, match=r"config.json says AutoencoderKL, and a Diffusion has no equal there"):
        read_folder(tmp_path, staged.resolve(spec))
    with pytest.raises(UserError, match=r"AutoencoderKL: it has one number of groups .* \[32, 64\]"):
        export(dataclasses.replace(model, network=SpatialAutoencoder((32, 64), blocks=1)), params, tmp_path)


def test_weights_in_several_files(tmp_path):
    from safetensors.numpy import load_file, save_file

    params = random_params(LLAMA)
    export(LLAMA, params, tmp_path)
    tensors, places = load_file(tmp_path / "model.safetensors"), {}
    for n, names in enumerate((list(tensors)[:3], list(tensors)[3:])):
        save_file({name: tensors[name] for name in names}, tmp_path / f"part-{n}.safetensors")
        places |= dict.fromkeys(names, f"part-{n}.safetensors")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    require_equal(read_folder(tmp_path, LLAMA), params)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../part-0.safetensors"}}))
    with pytest.raises(UserError, match="names no files of weights in this folder"):
        read_folder(tmp_path, LLAMA)


def changed(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "bert"}, "its config.json says bert, and a GPT is read from gpt2, llama"),
        (
            {"n_layer": 3, "n_embd": 32},
            "another model than this GPT: take --model.layers 3 --model.head-size 16",
        ),
        ({"model_type": ["gpt2"]}, "its config.json says .*gpt2.*, and a GPT is read from gpt2, llama"),
        ({"n_layer": "many"}, "its n_layer is many, and must be a positive whole number"),
        ({"activation_function": "swish"}, "its activation_function is swish, and genjax has gelu_new"),
        ({"scale_attn_by_inverse_layer_idx": True}, "its scale_attn_by_inverse_layer_idx is True, and genjax has only"),
    ],
)
def test_another_architecture_is_one_line(tmp_path, values, message):
    model = GPT(**SIZES)
    export(model, random_params(model), tmp_path)
    changed(tmp_path, **values)
    with pytest.raises(UserError, match=message) as error:
        read_folder(tmp_path, model)
    assert str(error.value).startswith(f"--train.init-from hf:{tmp_path}: ") and "\n" not in str(error.value)


def test_a_name_of_the_hub_is_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"hf:.*gpt2: no such folder, and nothing is downloaded"):
        read_folder(tmp_path / "gpt2", GPT(layers=1, heads=2, width=16))


def test_tensors_that_are_missing_or_too_many_are_named(tmp_path):
    from safetensors.numpy import load_file, save_file

    model = GPT(**SIZES)
    export(model, random_params(model), tmp_path)
    tensors, file = load_file(tmp_path / "model.safetensors"), tmp_path / "model.safetensors"
    own = tensors | {"lm_head.weight": tensors["transformer.wte.weight"][::-1].copy()}
    for found, message in (
        ({k: x for k, x in tensors.items() if "h.1.mlp.c_fc.bias" not in k}, r"lack the tensor 'transformer.h.1.mlp"),
        (tensors | {"score.weight": np.zeros(3, "f")}, "its tensor 'score.weight' is none of a gpt2"),
        (own, "its 'lm_head.weight' is not its 'transformer.wte.weight'"),
        (tensors | {"transformer.h.0.attn.c_attn.bias": np.zeros(47, "f")}, "c_attn.bias' is not of the shape"),
    ):
        save_file(found, file)
        with pytest.raises(UserError, match=message):
            read_folder(tmp_path, model)
    file.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        read_folder(tmp_path, model)


def test_a_tokenizer_that_does_not_belong_is_one_line(tmp_path):
    model = GPT(**SIZES)
    export(model, random_params(model), tmp_path)
    (tmp_path / "tokenizer.json").write_text(portable(ByteTokenizer()))
    with pytest.raises(UserError, match=r"tokenizer.json has 256 ids, its embedding 21 rows: they are of two models"):
        read_folder(tmp_path, model)


@pytest.mark.parametrize("end", [False, True])
def test_bytes_are_byte_pairs_there(tmp_path, end):
    tokenizer = ByteTokenizer(end)
    (tmp_path / "tokenizer.json").write_text(portable(tokenizer))
    again = load_tokenizer(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint and again.end_of_text == tokenizer.end_of_text
    np.testing.assert_array_equal(again.encode("héllo\n you"), tokenizer.encode("héllo\n you"))
    assert portable(CharTokenizer("abc")) is None


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GPT(**SIZES, norm="rms"), "gpt2: it has norm layer, this model rms; llama: it has positions rope"),
        (GPT(**SIZES, qk_norm=True), "gpt2: it has qk_norm False, this model True"),
        (Translation(**SIZES, positions="rope", end=0), "marian: it has .*, this model .*; t5: it has score_scale 1.0"),
    ],
)
def test_a_model_that_nobody_else_has(tmp_path, model, message):
    with pytest.raises(UserError, match=f"--format hf: no equal of this .* there .*{message}"):
        export(model, {}, tmp_path)


def test_the_source_of_another_library():
    source = parse("first_stage=hf:/models/vae")
    assert source.foreign and source.mine == "first_stage" and str(source) == "first_stage=hf:/models/vae"
    assert parse(str(parse("hf:/models/gpt2"))) == parse("hf:/models/gpt2") and not parse("/models/gpt2").foreign


# With transformers.


@pytest.fixture(params=DECODERS)
def decoder(request, tmp_path):
    """(theirs, its folder, ours, our params)."""
    make, model = DECODERS[request.param]
    peer, folder = disturbed(make()), tmp_path / "theirs"
    peer.save_pretrained(folder)
    return peer, folder, model.on("cpu"), read_folder(folder, model)


@pytest.mark.peers
def test_a_decoder_is_theirs_and_is_loaded_there(decoder, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peer, folder, model, params = decoder
    tokens = ids(3, 12)
    with torch.no_grad():
        theirs = peer(torch.from_numpy(tokens).long()).logits.numpy()
    ours = jax.jit(model.logits)(params, tokens)[..., :21]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    export(model, params, tmp_path / "again")
    same_files(folder, tmp_path / "again")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        np.testing.assert_array_equal(loaded(torch.from_numpy(tokens).long()).logits.numpy(), theirs)


@pytest.fixture(params=TRANSLATORS)
def translator(request, tmp_path):
    make, model = TRANSLATORS[request.param]
    peer, folder = disturbed(make()), tmp_path / "theirs"
    peer.save_pretrained(folder)
    return peer, folder, model.on("cpu"), read_folder(folder, model)


@pytest.mark.peers
def test_a_translator_is_theirs_and_is_loaded_there(translator, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peer, folder, model, params = translator
    source, target = ids(3, 7), ids(3, 9, seed=3)
    before = np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=model.begin)
    counts = torch.from_numpy(np.arange(7) < LENGTHS[:, None]).long()
    given = {"input_ids": torch.from_numpy(source).long(), "attention_mask": counts}
    with torch.no_grad():
        theirs = peer(**given, decoder_input_ids=torch.from_numpy(before).long()).logits.numpy()
    batch = {"source": source, "source_length": LENGTHS, "target": target}
    ours = jax.jit(model.logits)(params, batch)[..., :21]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    export(model, params, tmp_path / "again")
    same_files(folder, tmp_path / "again")
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        again = loaded(**given, decoder_input_ids=torch.from_numpy(before).long()).logits.numpy()
    np.testing.assert_allclose(again, theirs, atol=1e-6)


@pytest.mark.peers
def test_beams_of_a_translator_are_theirs(translator):
    torch = pytest.importorskip("torch")
    peer, _, model, params = translator
    source = ids(3, 7)
    theirs = peer.generate(
        torch.from_numpy(source).long(),
        attention_mask=torch.from_numpy(np.arange(7) < LENGTHS[:, None]).long(),
        num_beams=4,
        max_new_tokens=8,
        do_sample=False,
        length_penalty=0.6,
    ).numpy()[:, 1:]
    given = {"source": source, "source_length": LENGTHS, "index": np.arange(3)}
    options = TranslationOptions(beams=4, length_penalty=0.6, max_new_tokens=8)
    made = jax.jit(lambda: model.sample(params, {}, jax.random.key(0), given, options))()
    for row, length, expected in zip(made["target"], made["target_length"], theirs):
        np.testing.assert_array_equal(row[:length], expected[:length])


@pytest.mark.peers
def test_gpt2s_own_tokenizer(tmp_path):
    """Saved by transformers, read here; written here, read there."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    text = "Hello  world, it's 3.14\n\tnaïve 😀"
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator([text * 9], trainer)
    backend.decoder = tokenizers.decoders.ByteLevel()
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    theirs.save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    assert ours.encode(text).tolist() == theirs(text)["input_ids"] and ours.end_of_text == theirs.eos_token_id
    (tmp_path / "tokenizer.json").write_text(portable(ours))
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again(text)["input_ids"] == ours.encode(text).tolist() and again.decode(ours.encode(text)) == text
