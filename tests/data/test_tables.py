import json

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import load, train_batches, validation_batches
from genjax.data.columns import columns_dataset, objects
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import Image, Label, Real, Tokens

TEXT = Tokens((64,), 257, ragged=True, end=256)


@pytest.fixture
def write(tmp_path):
    def written(name, content, **data):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return Data(path=str(tmp_path / name), **data)

    return written


def texts(dataset, name, split="validation"):
    source = dataset.splits[split]
    batch = source.gather(np.arange(len(source)))
    return [dataset.tokenizer.decode(row[:n]) for row, n in zip(batch[name], batch[f"{name}_length"])]


def test_columns_are_fields_by_their_names(write):
    rows = "\n".join(f"Sentence {n}, said.\tSatz {n}!" for n in range(20))
    dataset = load(write("pairs.tsv", f"source\ttarget\n{rows}\n"))
    assert dataset.spec.fields == {"source": TEXT, "target": TEXT} and not dataset.unused and not dataset.notes
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (18, 2)
    for split in ("train", "validation"):
        pairs = zip(texts(dataset, "source", split), texts(dataset, "target", split))
        assert all(source.split()[1].strip(",") == target.split()[1].strip("!") for source, target in pairs)
    batch = next(train_batches(dataset, 4, 0))
    ends = batch["source"][np.arange(4), batch["source_length"] - 1]
    assert batch["source"].dtype == np.int32 and (ends == 256).all()


@pytest.mark.parametrize(
    ("content", "fields", "names"),
    [
        ("Hello there!\tHallo du!\nBye now.\tTschau.\n", (), ("c0", "c1")),  # no header
        ("Hello there!\tHallo du!\nBye now.\tTschau.\n", ("source=0", "target=1"), ("source", "target")),
        ("cat\tKatze\ndog\tHund\nowl\tEule\n", (), ("c0", "c1")),  # all lines alike
        ("en\tde\ncat\tKatze\ndog\tHund\n", ("source=en", "target=de"), ("source", "target")),  # asked for
        ("en\tde\nthe cat\tdie Katze\nthe dog\tder Hund\n", (), ("en", "de")),
        ("en\tde\nthe cat\tdie Katze\nthe dog\tder Hund\n", ("source=1",), ("source",)),
    ],
)
def test_the_first_line_may_name_the_columns(write, content, fields, names):
    dataset = load(write("pairs.tsv", content, fields=fields))
    assert tuple(dataset.spec.fields) == names
    header = content.startswith("en")
    lines = content.count("\n") - header
    assert dataset.spec.train_examples + dataset.spec.validation_examples == lines
    assert bool(dataset.notes) == (not header)


def test_fields_that_nobody_asked_for_are_named(write):
    content = "text,label,score,index\n" + "".join(
        f'"Nice, {n}",{"no yes".split()[n % 2]},{n}.5,{n}\n' for n in range(20)
    )
    dataset = load(write("rated.csv", content, fields=("tokens=text", "kind=label")))
    assert dataset.unused == ("score", "index") and set(dataset.spec.fields) == {"tokens", "kind"}
    whole = load(write("rated.csv", content))
    assert whole.unused == ("index",)  # it has another meaning in a batch
    assert whole.spec.fields == {"text": TEXT, "label": Label(2, ("no", "yes")), "score": Real(())}
    batch = next(train_batches(whole, 8, 0))
    for row, length, label, score in zip(batch["text"], batch["text_length"], batch["label"], batch["score"]):
        text = whole.tokenizer.decode(row[:length])
        assert text == f"Nice, {int(score)}" and label == int(score) % 2


def test_a_kind_may_be_forced(write):
    data = write(
        "a.tsv",
        "id\tword\n" + "".join(f"{n % 3}\tw {n % 2}\n" for n in range(20)),
        fields=("x=id:real", "y=word:label"),
    )
    assert load(data).spec.fields == {"x": Real(()), "y": Label(2, ("w 0", "w 1"))}
    assert load(write("a.tsv", "id\tword\n" + "".join(f"{n % 3}\tw {n}\n" for n in range(20)))).spec.fields == {
        "id": Label(3, ("0", "1", "2")),
        "word": TEXT,
    }


def test_json_lines(write):
    rows = [
        {"prompt": f"{n} + 1 =", "answer": str(n + 1), "ids": [n + 1] * (n % 3 + 1), "meta": {"a": 1}}
        for n in range(300)
    ]
    dataset = load(
        write("sums.jsonl", "\n".join(map(json.dumps, rows)), fields=("answer=answer:text", "prompt=prompt", "ids=ids"))
    )
    assert dataset.spec.fields == {"answer": TEXT, "prompt": TEXT, "ids": Tokens((3,), 301, ragged=True)}
    assert dataset.unused == ("meta",)
    batch = next(validation_batches(dataset, 30))
    n = batch["ids"][:, 0] - 1
    assert texts(dataset, "prompt") == [f"{k} + 1 =" for k in n] and texts(dataset, "answer") == [str(k + 1) for k in n]
    assert batch["ids_length"].tolist() == (n % 3 + 1).tolist()
    renamed = [{"question": row.pop("prompt"), **row} for row in rows]  # prompt and answer would be instructions
    everything = load(write("sums.jsonl", "\n".join(map(json.dumps, renamed))))
    assert "meta" in everything.unused and "ids" in everything.spec.fields


def test_files_of_images_beside_captions(write, tmp_path):
    (tmp_path / "pics").mkdir()
    for n in range(10):
        Pillow.new("L", (4, 4), n).save(tmp_path / "pics" / f"{n}.png")
    rows = "".join(f"pics/{n}.png\ta picture of {n}\n" for n in range(10))
    dataset = load(write("captions.tsv", f"file\tcaption\n{rows}"))
    assert dataset.spec.fields == {"image": Image(4, 4, 1), "caption": TEXT}
    batch = next(train_batches(dataset, 8, 0))
    number = ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().astype(int)
    assert [dataset.tokenizer.decode(row[:-1]).split("\0")[0][:14] for row in batch["caption"]] == [
        f"a picture of {n}" for n in number
    ]
    rows += "pics/absent.png\tnot there\n"
    with pytest.raises(UserError, match=r"`file` names pictures that are not there: 1, such as .*absent\.png"):
        load(write("captions.tsv", f"file\tcaption\n{rows}"))


def test_an_unreadable_picture_is_replaced_with_its_caption(write, tmp_path):
    for n in range(10):
        Pillow.new("L", (4, 4), n).save(tmp_path / f"{n}.png")
    (tmp_path / "3.png").write_bytes(b"torn")
    dataset = load(write("captions.tsv", "file\tcaption\n" + "".join(f"{n}.png\tno {n}\n" for n in range(10))))
    for source in (dataset.train, dataset.validation):
        batch = source.gather(np.arange(len(source)))
        number = ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().astype(int)
        captions = [dataset.tokenizer.decode(row[:4]) for row in batch["caption"]]
        assert captions == [f"no {n}" for n in number] and 3 not in number
    assert list(dataset.skipped) == [str(tmp_path / "3.png")]


def test_the_caption_of_a_stand_in_fits_the_batch(write, tmp_path):
    for n in range(10):
        Pillow.new("L", (4, 4), n).save(tmp_path / f"{n}.png")
    (tmp_path / "3.png").write_bytes(b"torn")
    captions = [f"no {n}" + " and more" * (n != 3) for n in range(10)]
    rows = "".join(f"{n}.png\t{caption}\n" for n, caption in enumerate(captions))
    dataset = load(write("captions.tsv", f"file\tcaption\n{rows}"))
    for source in (dataset.train, dataset.validation):
        batch = source.gather(np.arange(len(source)), None, {"caption": 5})
        assert set(batch["caption_length"]) == {5} and set(batch["caption"][:, -1]) == {256}


def test_empty_cells_are_missing_and_empty_texts_left_out(write, tmp_path):
    for n in range(10):
        Pillow.new("L", (4, 4), n).save(tmp_path / f"{n}.png")
    rows = "".join(
        f"{f'{n % 10}.png' if n % 3 else ''}\t{n + 0.5 if n % 2 else ''}\t{f'text {n}' if n % 4 else ' '}\n"
        for n in range(40)
    )
    dataset = load(write("views.tsv", f"view\tnumber\tcaption\n{rows}"))
    assert dataset.spec.fields["view"] == Image(optional=True, height=4, width=4, channels=1)
    assert dataset.spec.fields["number"] == Real(optional=True, shape=())
    assert dataset.spec.train_examples + dataset.spec.validation_examples == 30
    assert "left out 10 example(s) with an empty `caption`; the first is example 1 of train" in dataset.notes[0]
    assert any("some examples have no `view`; view_present says which" in note for note in dataset.notes)
    batch = dataset.train.gather(np.arange(27))
    for text, view, seen, number, given in zip(
        texts(dataset, "caption", "train"),
        batch["view"],
        batch["view_present"],
        batch["number"],
        batch["number_present"],
    ):
        n = int(text.split()[1])
        assert seen == (n % 3 > 0) and given == n % 2
        assert number == (n + 0.5 if given else 0)
        assert np.allclose(view, n % 10 / 127.5 - 1 if seen else 0)
    with pytest.raises(UserError, match=r"10 empty text\(s\) in `caption`"):
        load(write("views.tsv", f"view\tnumber\tcaption\n{rows}", strict=True))


def test_long_texts_are_cut_and_counted(write):
    content = "text\n" + "".join(f"{'word ' * (n % 4 + 1)}{n}\n" for n in range(20))
    dataset = load(write("a.tsv", content, context=12))
    length_N = dataset.train.examples.lengths["text"]
    assert length_N.max() == 12 and "cut 12 text(s) of `text` to --data.context 12 tokens" in dataset.notes[0]
    with pytest.raises(UserError, match=r"12 texts of `text` have more than --data.context 12 tokens"):
        load(write("a.tsv", content, context=12, strict=True))


def test_the_field_tokens_is_what_a_language_model_reads(write):
    dataset = load(
        write("a.tsv", "text\n" + "".join(f"no {n}\n" for n in range(20)), fields=("tokens=text",), context=8)
    )
    assert dataset.spec.fields == {"tokens": Tokens((8,), 257, shifted=True, ragged=True, end=256)}
    batch = next(validation_batches(dataset, 2))
    assert batch["tokens"].shape == (2, 9) and (batch["tokens"][:, 0] == 256).all()
    assert (batch["tokens"][np.arange(2), batch["tokens_length"] - 1] == 256).all()
    assert batch["bytes"].sum(1).tolist() == (batch["tokens_length"] - 2).tolist()  # the end of text has no bytes


@pytest.mark.parametrize("kind", ["byte", "char", "bpe:300"])
def test_one_tokenizer_serves_all_texts_and_may_be_given(write, kind):
    content = "a\tb\n" + "".join(f"some words {n}\tandere Wörter {n}\n" for n in range(30))
    dataset = load(write("a.tsv", content, tokenizer=kind))
    assert dataset.spec.fields["a"] == dataset.spec.fields["b"] and dataset.tokenizer.end_of_text is not None
    assert all(text.startswith("andere Wörter") for text in texts(dataset, "b"))
    again = load(write("a.tsv", content.replace("some", "mose").replace("30", "29"), tokenizer=kind), dataset.tokenizer)
    assert again.tokenizer is dataset.tokenizer and again.spec.fields == dataset.spec.fields
    if kind == "char":
        with pytest.raises(UserError, match="'Q' does not occur"):
            load(write("a.tsv", content.replace("some", "Q"), tokenizer=kind), dataset.tokenizer)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "a\tb\n1\t2\n3\n", "row 3 has 1 cells, but the first row has 2"),
        ("a.csv", 'a,b\n1,2\n"x,y",2,3\n', "row 3 has 3 cells, but the first row has 2"),
        ("a.csv", 'a,b\n1,"2\n', "not readable as CSV"),
        ("a.tsv", "", "is empty"),
        ("a.tsv", "text\tb\n", "at least 2 are needed"),
        ("a.tsv", "a\0b\n", "zero bytes"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("a.jsonl", '{"a": 1}\n{"b": 1}\n', "line 2 has other names than the first: a, b"),
        ("a.jsonl", '{"a": {"b": 1}}\n{"a": {}}\n', "no column that can be a field; it has a"),
        ("a.jsonl", '{"a": "x y"}\n{"a": 3}\n', "no column that can be a field"),
        ("a.tsv", "text\tb\n \t1 2\n \t1 2\n", "every text of `text` is empty"),
        ("a.jsonl", '{"a": "x y"}\n{"a": null}\n', "left out 1 .* empty `a`; .*: 1 example.*; at least 2 are needed"),
    ],
)
def test_bad_tables_are_refused_in_one_line(write, name, content, message):
    with pytest.raises(UserError, match=message) as raised:
        load(write(name, content))
    assert "\n" not in str(raised.value) and name in str(raised.value)


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ([[[1, 2], [3]]], "", "is not numbers of one shape"),
        ([[[1, 2], [3]], [1.5, 2.5]], ":real", "nor sequences of such"),
        ([[[1, 2], [3]]], ":mask", "must be bool, or 0 and 1, of one shape"),
        ([[[1, 2], [3]]], ":tokens", "integers from 0 on"),
        ([[[1, 2], [3, 4]]], ":tokens", "integers from 0 on"),
        ([5, [1]], ":tokens", "integers from 0 on"),
        ([[[1, 2], [3]]], ":label", "must have one class for each example"),
        ([0.5, 10**400], "", "is not numbers of one shape"),
        ([[0.5], [0.5, 10**400]], "", "nor sequences of such"),
    ],
)
def test_lists_that_fit_no_array_are_refused(write, rows, kind, message):
    content = "\n".join(json.dumps({"x": value, "y": 0.5}) for value in rows * 4)
    with pytest.raises(UserError, match=message):
        load(write("a.jsonl", content, fields=(f"x=x{kind}", "y=y") if kind else ()))


def test_what_no_training_example_has_is_refused():
    """It would be sampled, and was never learned."""
    there, none = objects([[0.5, 1.0]] * 3), objects([None] * 3)
    with pytest.raises(UserError, match="x: no training example has `b`"):
        columns_dataset(Data(), "x", {"train": {"a": there, "b": none}, "validation": {"a": there, "b": there}})
    with pytest.raises(UserError, match="`b` has no value in any example"):
        columns_dataset(Data(fields=("a=a", "b=b")), "x", {"train": {"a": there, "b": none}})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("source=fr",), r"a\.tsv has no `fr`; it has en, de"),
        (("source=2",), "has no `2`; it has en, de"),
        (("source",), "write NAME=COLUMN"),
        (("=en",), "write NAME=COLUMN"),
        (("a=en", "a=de"), "the name `a` is taken"),
        (("index=en",), "`index` has another meaning"),
        (("a_length=en",), "`a_length` has another meaning"),
        (("a=en:image",), "`en` is text, and cannot be of kind image"),
        (("a=en:real",), "`a` is not numbers of one shape"),
    ],
)
def test_fields_that_cannot_be_had_name_those_that_there_are(write, fields, message):
    content = "en\tde\n" + "".join(f"a word {n}\tein Wort {n}\n" for n in range(9))
    with pytest.raises(UserError, match=message) as raised:
        load(write("a.tsv", content, fields=fields))
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, UsageError) == ("kind image" not in message and "shape" not in message)


def test_latin_1_is_refused(tmp_path):
    (tmp_path / "a.tsv").write_bytes("a\tb\nä ö\tü ß\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        load(Data(path=str(tmp_path / "a.tsv")))
