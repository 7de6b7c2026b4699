import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import known_spec, load, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Unpaired
from genjax.recipes import load_experiment
from genjax.spec import Image, Label, Real, Tokens

SIZES = {"train": 12, "test": 4}


def picture(split, n):
    return np.random.default_rng([n, len(split)]).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data set that TFDS itself prepares, which it can do without TensorFlow when images are files."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tfds")

    def examples(split, count):
        for n in range(count):
            file = root / f"{split}{n}.png"
            Pillow.fromarray(picture(split, n)).save(file)
            yield n, {"id": n, "picture": str(file), "kind": n % 3}

    class GenjaxTiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "id": np.int64,
                "picture": tfds.features.Image(shape=self.shape),
                "kind": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {split: examples(split, SIZES[split]) for split in self.splits}

        def _generate_examples(self):
            raise NotImplementedError

    for name, splits, shape in (("both", SIZES, (8, 8, 3)), ("train_only", ["train"], (None, None, 3))):
        GenjaxTiny.splits, GenjaxTiny.shape = splits, shape
        GenjaxTiny(data_dir=root / name, file_format="array_record").download_and_prepare()
    return root


def test_a_description_may_not_name_code_beside_it(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared / "both", tmp_path / "both")
    (tmp_path / "spy_feature.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in (tmp_path / "both").rglob("features.json"):
        text = file.read_text()
        file.write_text(text.replace("tensorflow_datasets.core.features.image_feature.Image", "spy_feature.Image"))
    with pytest.raises(UserError, match=r"features\.json: names the class 'spy_feature\.Image'"):
        load(Data(source="tfds:genjax_tiny", path=str(tmp_path / "both")))
    assert not (tmp_path / "executed").exists()


def prepare(name, features, splits, root):
    """Examples, as TFDS itself prepares them under a data set's public name."""
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Builder.name = name
    Builder(data_dir=root, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """MNIST, CIFAR-10 and CelebA: the features that TFDS gives them, a few random images."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("public")
    random = np.random.default_rng(0)
    digit = tfds.features.ClassLabel(num_classes=10)
    attributes = {"Male": np.bool_, "Young": np.bool_}

    def image(shape, suffix):
        file = root / f"{random.integers(2**60)}.{suffix}"
        Pillow.fromarray(random.integers(0, 256, shape, dtype=np.uint8).squeeze()).save(file)
        return str(file)

    def split(count, shape, suffix, **fields):
        return [{"image": image(shape, suffix), **{k: v(n) for k, v in fields.items()}} for n in range(count)]

    mnist, cifar, celeba = (28, 28, 1), (32, 32, 3), (218, 178, 3)
    features = {"image": tfds.features.Image(shape=mnist), "label": digit}
    splits = {"train": split(6, mnist, "png", label=int), "test": split(2, mnist, "png", label=int)}
    prepare("mnist", features, splits, root)

    features = {"id": tfds.features.Text(), "image": tfds.features.Image(shape=cifar), "label": digit}
    splits = {name: split(n, cifar, "png", id=str, label=int) for name, n in (("train", 6), ("test", 2))}
    prepare("cifar10", features, splits, root)

    jpeg = tfds.features.Image(shape=celeba, encoding_format="jpeg")
    features = {"image": jpeg, "landmarks": {"lefteye_x": np.int64}, "attributes": attributes}
    fields = {"landmarks": lambda n: {"lefteye_x": n}, "attributes": lambda n: {"Male": n % 2 > 0, "Young": True}}
    splits = {name: split(n, celeba, "jpg", **fields) for name, n in (("train", 6), ("validation", 3), ("test", 2))}
    prepare("celeb_a", features, splits, root)
    return root


@pytest.mark.parametrize(
    ("recipe", "shape", "classes", "held"),
    [
        ("vae_mnist", (28, 28, 1), 10, 2),
        ("dcgan_mnist", (28, 28, 1), 10, 2),
        ("ddpm_cifar10", (32, 32, 3), 10, 2),
        ("dcgan_celeba64", (64, 64, 3), None, 3),
    ],
)
def test_the_data_of_recipes(public, recipe, shape, classes, held):
    experiment = load_experiment(recipe)
    dataset = load(dataclasses.replace(experiment.data, path=str(public)))
    spec = dataset.spec
    label = {} if classes is None else {"label": Label(classes, tuple(map(str, range(classes))))}
    assert spec.fields == {"image": Image(*shape)} | label
    assert (spec.train_examples, spec.validation_examples, spec.test_examples) == (6, held, 2 if held == 3 else 0)
    assert known_spec(dataclasses.replace(experiment.data)).fields["image"] == Image(*shape)
    batch = next(train_batches(dataset, 6, 0))
    assert batch["image"].shape == (6, *shape) and batch["image"].dtype == np.float32
    assert -1 <= batch["image"].min() < -0.5 and 0.5 < batch["image"].max() <= 1
    assert sorted(batch.get("label", range(6))) == list(range(6))
    assert not dataset.skipped


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe:280"])
@pytest.mark.parametrize("splits", [("train", "test"), ("train",)])
def test_text(tmp_path, tokenizer, splits):
    import tensorflow_datasets as tfds

    texts = {split: [f"The {n}. text of {split}, naïve." for n in range(20)] for split in splits}
    features = {"id": tfds.features.Text(), "text": tfds.features.Text()}
    examples = {split: [{"id": str(n), "text": text} for n, text in enumerate(texts[split])] for split in splits}
    prepare("notes", features, examples, tmp_path)
    data = Data(source="tfds:notes", path=str(tmp_path), tokenizer=tokenizer, context=8)
    dataset = load(data)
    coder = dataset.tokenizer
    end = coder.encode("\n")[0] if coder.end_of_text is None else coder.end_of_text
    read = []
    for source in (dataset.train, dataset.validation):
        ends = np.flatnonzero(source.tokens_N == end)
        read.append([coder.decode(part[part != end]) for part in np.split(source.tokens_N, ends + 1)[:-1]])
        assert ends[-1] == len(source.tokens_N) - 1
    assert all(set(read[n]) == set(texts[split]) for n, split in enumerate(splits) if len(splits) > 1)
    assert sorted(read[0] + read[1]) == sorted(text for split in splits for text in texts[split])
    assert len(read[1]) == (20 if len(splits) > 1 else 2)
    assert dataset.spec.fields == {"tokens": Tokens((8,), coder.vocabulary, shifted=True, end=coder.end_of_text)}
    assert dataset.unused == ("id",)
    assert next(validation_batches(dataset, 2))["bytes"].shape == (2, 8)


def test_fields_are_features_by_name(prepared, tmp_path):
    import tensorflow_datasets as tfds

    pairs = [{"en": f"a {n}", "de": f"ein {n}", "score": n / 4} for n in range(8)]
    features = {"en": tfds.features.Text(), "de": tfds.features.Text(), "score": np.float32}
    prepare("pairs", features, {"train": pairs, "test": pairs[:2], "validation": pairs[:3]}, tmp_path)
    data = Data(source="tfds:pairs", path=str(tmp_path), context=8, fields=("source=en", "target=de", "x=score"))
    dataset = load(data)
    text = Tokens((8,), 257, ragged=True, end=256)
    assert dataset.spec.fields == {"source": text, "target": text, "x": Real(())}
    batch = next(validation_batches(dataset, 3))
    for source, target, length, x in zip(batch["source"], batch["target"], batch["target_length"], batch["x"]):
        n = int(x * 4)
        assert (
            dataset.tokenizer.decode(source[:4]) == f"a {n}" and dataset.tokenizer.decode(target[:length]) == f"ein {n}"
        )
    assert (dataset.spec.validation_examples, dataset.spec.test_examples) == (3, 2)
    with pytest.raises(UsageError, match="has no `fr`; it has de, en, score"):
        load(dataclasses.replace(data, fields=("source=fr",)))

    asked = ("picture=picture", "number=id", "kind=kind")
    mixed = load(Data(source="tfds:genjax_tiny", path=str(prepared / "both"), fields=asked))
    batch = next(train_batches(mixed, 12, 0))
    assert set(mixed.spec.fields) == {"picture", "number", "kind"} and mixed.unused == ()
    images = ((batch["picture"] + 1) * 127.5).round().astype(np.uint8)
    for image, number, kind in zip(images, batch["number"], batch["kind"]):
        assert np.array_equal(image, picture("train", int(number))) and kind == number % 3


@pytest.mark.parametrize("splits", [("train", "test"), ("train",)])
def test_an_image_keeps_its_caption_where_others_have_none(tmp_path, splits):
    import tensorflow_datasets as tfds

    def captioned(n):
        file = tmp_path / f"{n}.png"
        Pillow.new("L", (4, 4), n).save(file)
        return {"image": str(file), "caption": "" if n in (2, 5) else f"no {n:02}"}

    features = {"image": tfds.features.Image(shape=(4, 4, 1)), "caption": tfds.features.Text()}
    prepare("captioned", features, {split: [captioned(n) for n in range(12)] for split in splits}, tmp_path)
    fields = ("image=image", "caption=caption")
    dataset = load(Data(source="tfds:captioned", path=str(tmp_path), context=8, fields=fields, validation=0.5))
    sources = (dataset.train, dataset.validation)
    assert sum(map(len, sources)) == 10 * len(splits) and "empty `caption`" in dataset.notes[0]
    for part, source in zip(("train", "validation"), sources):
        batch = source.gather(np.arange(len(source)))
        number = ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().astype(int)
        assert dataset.texts[part]["caption"].tolist() == [f"no {n:02}" for n in number]
        assert [dataset.tokenizer.decode(row[:5]) for row in batch["caption"]] == [f"no {n:02}" for n in number]


def test_neither_image_nor_text(tmp_path):
    prepare("numbers", {"x": np.int64}, {"train": [{"x": 1}]}, tmp_path)
    with pytest.raises(UserError, match=r"tfds:numbers: has no image and no `text`; its features are x"):
        load(Data(source="tfds:numbers", path=str(tmp_path)))


def test_reads_what_was_written(prepared):
    dataset = load(Data(source="tfds:genjax_tiny", path=str(prepared / "both")))
    spec = dataset.spec
    assert spec.fields == {"image": Image(8, 8, 3), "label": Label(3, ("ant", "bee", "cat"))}
    assert dataset.unused == ("id",)
    assert (spec.train_examples, spec.validation_examples) == (12, 4)
    for batch, split in (
        (next(train_batches(dataset, 12, 0)), "train"),
        (next(validation_batches(dataset, 4)), "test"),
    ):
        labels = {picture(split, n).tobytes(): n % 3 for n in range(SIZES[split])}
        images = ((batch["image"] + 1) * 127.5).round().astype(np.uint8)
        assert [labels[image.tobytes()] for image in images] == batch["label"].tolist()
        assert len({image.tobytes() for image in images}) == SIZES[split]


def test_reads_without_tensorflow(prepared):
    code = f"""
import sys
from genjax.data import known_spec, load, train_batches
from genjax.experiment import Data
data = load(Data(source="tfds:genjax_tiny", path={str(prepared / "both")!r}))
print(next(train_batches(data, 4, 0))["image"].shape, "tensorflow" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "(4, 8, 8, 3) False\n"


def test_holds_out_a_share_and_asks_for_a_size(prepared):
    path = str(prepared / "train_only")
    with pytest.raises(UserError, match=r"--data\.image-size"):
        load(Data(source="tfds:genjax_tiny", path=path))
    dataset = load(Data(source="tfds:genjax_tiny", path=path, image_size=4, channels=1, validation=0.25))
    assert dataset.spec.fields["image"].shape == (4, 4, 1)
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (9, 3)
    names = [source.name(i) for source in (dataset.train, dataset.validation) for i in range(len(source))]
    assert len(set(names)) == 12
    assert next(train_batches(dataset, 4, 0))["image"].shape == (4, 4, 4, 1)


def test_what_is_not_prepared_says_how(tmp_path):
    for name in ("mnist", "genjax_tinny"):
        (tmp_path / name).mkdir()  # else the path is taken for a folder of images
        with pytest.raises(UserError, match=rf"tfds build {name} .*array_record.*genjax-suite\[prepare\]") as raised:
            load(Data(source=f"tfds:{name}", path=str(tmp_path)))
        assert "\n" not in str(raised.value)


def test_another_format_has_no_random_access(prepared, tmp_path):
    shutil.copytree(prepared / "both", tmp_path / "copy")
    description = tmp_path / "copy" / "genjax_tiny" / "1.0.0" / "dataset_info.json"
    content = json.loads(description.read_text())
    description.write_text(json.dumps(content | {"fileFormat": "tfrecord"}))
    for file in description.parent.glob("*array_record*"):
        file.rename(file.with_name(file.name.replace("array_record", "tfrecord")))
    with pytest.raises(UserError, match="tfds build genjax_tiny"):
        load(Data(source="tfds:genjax_tiny", path=str(tmp_path / "copy")))
    description.write_text("{")
    with pytest.raises(UserError, match="tfds build genjax_tiny") as raised:
        load(Data(source="tfds:genjax_tiny", path=str(tmp_path / "copy")))
    assert "\n" not in str(raised.value)


def test_the_domains_of_cycle_gan_are_unpaired(tmp_path):
    import tensorflow_datasets as tfds

    def horses(count, value):
        files = [tmp_path / f"{value + n}.png" for n in range(count)]
        for n, file in enumerate(files):
            Pillow.new("RGB", (16, 16), (value + n,) * 3).save(file)
        return [{"image": str(file), "label": value > 99} for file in files]

    features = {"image": tfds.features.Image(shape=(None, None, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
    splits = {"trainA": horses(4, 0), "trainB": horses(6, 100), "testA": horses(2, 50), "testB": horses(3, 150)}
    prepare("two_domains", features, splits, tmp_path)
    data = Data(source="tfds:two_domains", path=str(tmp_path), image_size=16)
    dataset = load(data)
    assert dataset.spec.fields == {"image_a": Image(16, 16, 3), "image_b": Image(16, 16, 3)}
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (6, 3) and dataset.order == Unpaired()
    batch = next(iter(train_batches(dataset, 12, 0)))
    a, b = (((batch[name][:, 0, 0, 0] + 1) * 127.5).round() for name in ("image_a", "image_b"))
    assert set(a) == {0, 1, 2, 3} and set(b) == {100, 101, 102, 103, 104, 105}
    with pytest.raises(UsageError, match="has two domains of images, image_a and image_b, and no other fields"):
        load(dataclasses.replace(data, fields=("image_a=image",)))
    assert load_experiment("cyclegan_horse2zebra").data.source == "tfds:cycle_gan/horse2zebra"
