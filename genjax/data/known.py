"""What the name of a source tells of its fields, without opening it: for plans on a machine that has no data."""

from genjax.data import readers
from genjax.experiment import Data
from genjax.files import expanded
from genjax.spec import DataSpec, Field, Image, Label, Mask, Tokens

__all__ = ["known_spec"]

# (height, width, channels) and classes; None where images have no label.
IMAGES = {
    "digits": ((8, 8, 1), 10),
    "tfds:mnist": ((28, 28, 1), 10),
    "tfds:fashion_mnist": ((28, 28, 1), 10),
    "tfds:cifar10": ((32, 32, 3), 10),
    "tfds:celeb_a": ((218, 178, 3), None),
}
VOCABULARY = {"byte": 256, "gpt2": 50257}


def known_spec(data: Data) -> DataSpec:
    """The fields that the recipe's `Data` names for certain; none where only the data itself could tell.

    The numbers of examples are 0, and classes have no names. Of text it is the windows of one long text; the
    vocabulary of byte pairs is the one asked for, which a short text may not reach.
    """
    fields: dict[str, Field] = {}
    if data.path is None and data.source in IMAGES and not data.fields:
        (height, width, channels), classes = IMAGES[data.source]
        size = data.image_size
        fields["image"] = Image(size or height, size or width, data.channels or channels)
        if classes:
            fields["label"] = Label(classes)
    elif _is_text(data) and (vocabulary := _vocabulary(data.tokenizer)):
        fields["tokens"] = Tokens((data.context,), vocabulary, shifted=True)
    if fields and data.order is not None:
        fields |= {name: Mask(()) for name in data.order.adds}
    return DataSpec(fields)


def _is_text(data: Data) -> bool:
    """Whether it is text in windows: Python's manual, a file that no reader claims, or a corpus."""
    if data.path is None:
        return data.source == "pydoc"
    path = expanded(data.path)
    if path.is_dir():
        return (path / "corpus.json").is_file()
    return readers.for_path(path, data.source) is None


def _vocabulary(tokenizer: str) -> int | None:
    kind, _, argument = tokenizer.partition(":")
    return int(argument) if kind == "bpe" and argument.isdecimal() else VOCABULARY.get(kind)
