"""Chat templates of Hugging Face folders: what is learned of them, and equality with transformers."""

import dataclasses
import json

import numpy as np
import pytest

from genjax.data import load, make_tokenizer, split_batches
from genjax.data.portable import portable
from genjax.errors import UsageError, UserError
from genjax.experiment import Data

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Ho"},
    {"role": "user", "content": "So?"},
    {"role": "assistant", "content": "No"},
]
CHATML = """{{ bos_token }}{% for message in messages %}
<|{{ message.role }}|>{% if message.role == 'assistant' %}
{% generation %}{{ message.content + eos_token }}{% endgeneration %}
{% else %}{{ message.content }}{% endif %}
{% endfor %}{% if add_generation_prompt %}
<|assistant|>{% endif %}"""
ENDS = {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>"}}


def talk(folder, template, about=ENDS, messages=TALK):
    """A folder with this template, and conversations in its form."""
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps({**about, "chat_template": template}))
    rows = [json.dumps({"messages": messages})] * 4
    (folder / "talk.jsonl").write_text("\n".join(rows))
    return Data(path=str(folder / "talk.jsonl"), chat=(f"hf:{folder}",), context=150, batch_size=2, validation=0.5)


def pieces(data):
    """(ids, which are learned) of a row."""
    dataset = load(data)
    batch = next(iter(split_batches(dataset, "validation", 2)))
    length = batch["tokens_length"][0]
    return dataset.tokenizer, batch["tokens"][0, :length], batch["tokens_answer"][0, :length]


def test_a_template_is_the_whole_text_and_the_answers_are_learned(tmp_path):
    tokenizer, ids, learned = pieces(talk(tmp_path, CHATML))
    assert tokenizer.decode(ids) == "<|system|>Be short.<|user|>Hi<|assistant|>Ho<|user|>So?<|assistant|>No"
    assert tokenizer.decode(ids[learned]) == "HoNo"
    end = tokenizer.end_of_text
    assert (ids == end).sum() == 3 and (ids[learned] == end).sum() == 2 and ids[0] == ids[-1] == end


@pytest.mark.parametrize("where", ["file", "named"])
def test_other_places_of_a_template(tmp_path, where):
    data = talk(tmp_path, [{"name": "tools", "template": "no"}, {"name": "default", "template": CHATML}])
    if where == "file":
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**ENDS, "chat_template": "no"}))
        (tmp_path / "chat_template.jinja").write_text(CHATML)
    tokenizer, ids, learned = pieces(data)
    assert tokenizer.decode(ids[learned]) == "HoNo"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, r"--data\.chat hf:.*: no chat template there"),
        ("{% if %}", r"--data\.chat hf:.*: its chat template is no Jinja"),
        ("{{ raise_exception('only questions') }}", r"row 1: the chat template of .* refuses it \(only questions\)"),
        ("{{ messages.append(1) }}", r"row 1: the chat template of .* refuses it"),
        ("{{ ''.__class__.__mro__ }}", r"row 1: the chat template of .* refuses it"),
        ("", "row 1: the chat template of .* writes nothing that the assistant says"),
        ("{{ bos_token }}", "row 1: the chat template of .* writes nothing that the assistant says"),
        ("{{ messages | length }}{{ messages[-1].content }}", "row 1: the chat template of .* writes what was said"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(tmp_path, template, message):
    with pytest.raises(UserError, match=message):
        load(talk(tmp_path, template))


def test_a_folder_stands_alone_and_must_be_there(tmp_path):
    data = talk(tmp_path, CHATML)
    with pytest.raises(UsageError, match="or hf:FOLDER alone"):
        load(dataclasses.replace(data, chat=(*data.chat, "user={}")))
    with pytest.raises(UserError, match="no chat template there"):
        load(dataclasses.replace(data, chat=("hf:nowhere",)))


@pytest.mark.peers
@pytest.mark.parametrize("name", ["byte", "bpe:300"])
def test_ids_and_what_is_learned_are_those_of_transformers(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    data = dataclasses.replace(talk(tmp_path, CHATML), tokenizer=name)
    ours, ids, learned = pieces(data)
    if name != "byte":
        assert ours.fingerprint != make_tokenizer("byte", "", end=True).fingerprint
    (tmp_path / "tokenizer.json").write_text(portable(ours))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**about, "chat_template": CHATML}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    found = theirs.apply_chat_template(TALK, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    np.testing.assert_array_equal(ids, found["input_ids"])
    np.testing.assert_array_equal(learned, np.array(found["assistant_masks"]) > 0)
