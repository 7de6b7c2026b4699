"""A data set in the order that a recipe asks for: an order may pack texts, join data sets, or part fields."""

import dataclasses
from collections.abc import Sequence

from genjax.data.arrays import ImageArray
from genjax.data.compose import Concat, Zip
from genjax.data.dataset import Dataset, Source, field_change
from genjax.data.packing import Packs
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Mixture, Packed, Unpaired, natural_order
from genjax.spec import DataSpec, Mask, Tokens

__all__ = ["arrange"]


def arrange(dataset: Dataset, data: Data, others: Sequence[Dataset] = ()) -> Dataset:
    """The data set, its fields and its order as --data.order says; as the data suggests where it says nothing.

    `others` are the further data sets of a mixture.

    Raises UsageError where the data cannot be had in this order, UserError where data sets that mix differ in fields.
    """
    order = data.order or natural_order(dataset.train.examples)
    if isinstance(order, Mixture):
        dataset = _mixed(dataset, others, list(order.others))
    if isinstance(order, Unpaired) and not dataset.train.examples.unpaired:
        dataset = _with_splits(dataset, {split: _parted(source) for split, source in dataset.splits.items()})
    for source in dataset.splits.values() if order.bounded else (dataset.train,):
        order.check(source.examples, data.batch_size)
    if isinstance(order, Packed):
        dataset = _packed(dataset)
    fields = {
        name: dataclasses.replace(field, lengths=order.lengths(field.longest))
        if isinstance(field, Tokens) and field.ragged
        else field
        for name, field in dataset.spec.fields.items()
    }
    added = {name: Mask(()) for name in order.adds}
    return dataclasses.replace(dataset, spec=dataclasses.replace(dataset.spec, fields=fields | added), order=order)


def _mixed(dataset: Dataset, others: Sequence[Dataset], names: Sequence[str]) -> Dataset:
    for name, other in zip(names, others):
        own, its = dataset.spec.fields, other.spec.fields
        if own.keys() != its.keys() or any(field_change(field, own[field], its[field]) for field in own):
            raise UserError(
                f"--data.order mixture: {name} has {other.spec.describe()}, the data itself {dataset.spec.describe()}"
            )
        dataset.skipped.update(other.skipped)
    train = Concat((dataset.train, *(other.train for other in others)))
    examples = dataset.spec.train_examples + sum(other.spec.train_examples for other in others)
    spec = dataclasses.replace(dataset.spec, train_examples=examples)
    notes = (*dataset.notes, *(note for other in others for note in other.notes))
    return dataclasses.replace(dataset, spec=spec, train=train, notes=notes)


def _parted(source: Source) -> Source:
    """Every field a domain of its own, where all are images."""
    if isinstance(source, Zip) and all(isinstance(member, ImageArray) for member in source.members.values()):
        return dataclasses.replace(source, pairing="random")
    return source


def _packed(dataset: Dataset) -> Dataset:
    fields = dataset.spec.fields
    texts = {name: field for name, field in fields.items() if isinstance(field, Tokens) and field.ragged}
    if single := [name for name in fields if name not in texts]:
        raise UsageError(
            f"--data.order packed: `{single[0]}` is one an example, but a row holds several: leave it out "
            "(--data.fields)"
        )
    if ready := [name for name, field in texts.items() if field.packed]:
        raise UsageError(f"--data.order packed: rows of `{ready[0]}` hold several texts as they are")
    packs = {split: Packs.of(source, fields, shuffle=split == "train") for split, source in dataset.splits.items()}
    packed = {name: dataclasses.replace(field, packed=True) for name, field in texts.items()}
    dataset = dataclasses.replace(dataset, spec=dataclasses.replace(dataset.spec, fields=packed))
    return _with_splits(dataset, packs)


def _with_splits(dataset: Dataset, splits: dict[str, Source]) -> Dataset:
    spec = DataSpec(dataset.spec.fields, *map(len, splits.values()))
    return dataclasses.replace(dataset, spec=spec, texts={}, **splits)  # in another order than they were
