"""Every order on data: resumed anywhere and cut into any rows, a batch of step n is that of step n."""

import itertools

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import load, split_batches, synthetic_dataset, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Buckets, Epochs, Mixture, Packed, Poisson, Streams, Uniform, Unpaired
from genjax.spec import Image, Mask, Tokens


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("arranged"), np.random.default_rng(0)
    lines = [f"{'ab ' * (n % 9 + 1)}{n}\t{'x' * (n % 13 + 1)}" for n in range(120)]
    (root / "pairs.tsv").write_text("source\ttarget\n" + "\n".join(lines))
    (root / "texts.jsonl").write_text("\n".join(f'{{"text": "{"word " * (n % 5)}{n}"}}' for n in range(90)))
    (root / "long.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    (root / "other.txt").write_text("THE FIVE BOXING WIZARDS " * 60)
    pixels = random.integers(0, 256, (40, 10, 8, 3), np.uint8)
    np.savez(root / "images.npz", image=pixels, label=np.arange(40) % 3)
    np.savez(root / "two.npz", image_a=pixels[:, :8], image_b=pixels[::-1, :8])
    for name, count in (("trainA", 9), ("trainB", 7), ("testA", 3), ("testB", 2)):
        (root / "domains" / name).mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(pixels[n]).save(root / "domains" / name / f"{n}.png")
    return root


CASES = {
    "epochs": ("images.npz", Epochs()),
    "uniform": ("long.txt", Uniform()),
    "streams": ("long.txt", Streams()),
    "buckets": ("pairs.tsv", Buckets()),
    "buckets of tokens": ("pairs.tsv", Buckets((12, 24, 40), tokens=200, multiple=2)),
    "packed": ("texts.jsonl", Packed()),
    "poisson": ("images.npz", Poisson(multiple=4)),
    "mixture": ("long.txt", Mixture({"other.txt": 0.25})),
    "unpaired": ("domains", Unpaired()),
    "unpaired arrays": ("two.npz", Unpaired()),
}


def loaded(root, case):
    path, order = CASES[case]
    if isinstance(order, Mixture):
        order = Mixture({str(root / name): share for name, share in order.others.items()})
    data = Data(path=str(root / path), order=order, batch_size=8, context=40, validation=0.2)
    return load(
        data if path.endswith(("txt", "tsv", "jsonl")) else Data(**vars(data) | {"image_size": 6, "flip": True})
    )


@pytest.mark.parametrize("case", CASES)
def test_killed_resumed_and_sliced_the_batches_are_the_same(root, case):
    whole = list(itertools.islice(train_batches(loaded(root, case), 8, 3), 14))
    again = loaded(root, case)  # by another process
    for start, workers in ((0, 0), (5, 3), (13, 1)):
        part = itertools.islice(train_batches(again, 8, 3, start_step=start, workers=workers), 14 - start)
        for ours, theirs in zip(part, whole[start:], strict=True):
            assert ours.keys() == theirs.keys()
            assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    for cut in (lambda count: slice(0, count // 2), lambda count: slice(count // 2, count)):
        for ours, theirs in zip(train_batches(again, 8, 3, rows=cut), whole):
            assert all(np.array_equal(ours[name], theirs[name][cut(len(theirs["index"]))]) for name in theirs)


@pytest.mark.parametrize("case", CASES)
def test_batches_have_the_arrays_that_the_description_says(root, case):
    dataset = loaded(root, case)
    shapes = dataset.shapes(8)
    seen = set()
    for batch in itertools.islice(train_batches(dataset, 8, 3), 60):
        fits = [
            n
            for n, (rows, lengths) in enumerate(shapes)
            if {name: (array.shape, array.dtype) for name, array in batch.items()}
            == {name: ((rows, *v.shape), v.dtype) for name, v in dataset.spec.arrays(lengths).items()}
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == set(range(len(shapes)))
    for split in dataset.splits:
        for batch in split_batches(dataset, split, 4):
            expected = {name: ((4, *v.shape), v.dtype) for name, v in dataset.spec.arrays().items()}
            found = {n: (a.shape, a.dtype) for n, a in batch.items() if n not in ("bytes", "valid")}
            assert found == {name: value for name, value in expected.items() if name != "valid"}


def test_buckets_are_lengths_of_the_fields(root):
    spec = loaded(root, "buckets of tokens").spec
    assert spec.fields["source"] == Tokens((12, 24, 40), 257, ragged=True, end=256)
    assert loaded(root, "buckets").spec.fields["target"].lengths == (10, 20, 40)


def test_what_an_order_adds_is_in_the_description(root):
    assert loaded(root, "poisson").spec.fields["valid"] == Mask(())
    streams = loaded(root, "streams")
    assert streams.spec.fields["starts"] == Mask(()) and streams.order == Streams()
    first, second = itertools.islice(train_batches(streams, 8, 0), 2)
    np.testing.assert_array_equal(first["tokens"][:, -1], second["tokens"][:, 0])
    assert first["starts"].all() and not second["starts"].any()


def test_streams_need_the_batch_that_was_asked_for(root):
    with pytest.raises(UsageError, match="fewer than the 500 streams"):
        load(Data(path=str(root / "long.txt"), order=Streams(), batch_size=500, context=40))


def test_packed_texts_are_those_of_the_data(root):
    dataset = loaded(root, "packed")
    batch = next(train_batches(dataset, len(dataset.train), 0))
    assert dataset.spec.fields["text"].packed and len(dataset.train) < 72
    texts = []
    for row, segment in zip(batch["text"], batch["text_segment"]):
        texts += [dataset.tokenizer.decode(row[segment == n]) for n in range(1, segment.max() + 1)]
    assert len(texts) == 72 and all(text.split()[-1].isdecimal() for text in texts)
    with pytest.raises(UsageError, match="`label` is one an example"):
        path = root / "labelled.tsv"
        path.write_text("text\tlabel\n" + "some words\tx\nother words\ty\n" * 9)
        load(Data(path=str(path), order=Packed()))


def test_a_mixture_takes_the_tokenizer_and_the_fields_of_the_data_itself(root):
    mixed = loaded(root, "mixture")
    text = [mixed.tokenizer.decode(row) for row in next(train_batches(mixed, 8, 0))["tokens"]]
    assert sum(row.isupper() for row in text) == 2
    assert not any(mixed.tokenizer.decode(row).isupper() for row in next(validation_batches(mixed, 4))["tokens"])
    with pytest.raises(UserError, match=r"images\.npz has image"):
        load(Data(path=str(root / "long.txt"), order=Mixture({str(root / "images.npz"): 0.5})))
    with pytest.raises(UserError, match="'T' does not occur"):
        other = Mixture({str(root / "other.txt"): 0.5})
        load(Data(path=str(root / "long.txt"), tokenizer="char", order=other))
    assert (
        load(Data(source="pydoc", order=Mixture({str(root / "other.txt"): 0.1}))).spec.fields["tokens"].vocabulary
        == 256
    )


def test_domains(root):
    dataset = load(Data(path=str(root / "domains")))
    assert dataset.spec.fields == {"image_a": Image(10, 8, 3), "image_b": Image(10, 8, 3)}
    assert dataset.order == Unpaired() and dataset.spec.validation_examples == 3
    batch = next(validation_batches(dataset, 3))
    assert not np.array_equal(batch["image_a"], batch["image_b"]) and np.array_equal(
        batch["image_b"][2], batch["image_b"][0]
    )
    with pytest.raises(UserError, match="trainA: 7 has no partner of that name in trainB; unpaired domains need"):
        load(Data(path=str(root / "domains"), order=Epochs()))
    with pytest.raises(UsageError, match="needs two domains"):
        load(Data(order=Unpaired()))


def test_synthetic_data_has_the_shapes_of_the_real(root):
    for case in CASES:
        spec = loaded(root, case).spec
        made = synthetic_dataset(spec, 4)
        batch = next(train_batches(made, 4, 0))
        assert {n: (a.shape[1:], a.dtype) for n, a in batch.items()} == {
            n: (v.shape, v.dtype) for n, v in spec.arrays().items()
        }
    short = synthetic_dataset(loaded(root, "buckets").spec, 4).train.gather(np.arange(4), None, {"source": 10})
    assert short["source"].shape == (4, 10) and short["target"].shape == (4, 40) and short["source_length"].max() <= 10
