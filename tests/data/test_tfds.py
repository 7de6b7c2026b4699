import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genjax.data import load, train_batches, validation_batches
from genjax.errors import UserError
from genjax.experiment import Data

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
            Image.fromarray(picture(split, n)).save(file)
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


def test_reads_what_was_written(prepared):
    dataset = load(Data(source="tfds:genjax_tiny", path=str(prepared / "both")))
    spec = dataset.spec
    assert (spec.image_shape, spec.class_names, spec.classes) == ((8, 8, 3), ("ant", "bee", "cat"), 3)
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
from genjax.data import load, train_batches
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
    assert dataset.spec.image_shape == (4, 4, 1)
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
