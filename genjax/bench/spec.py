"""A recipe's data without the data: its description, for plans on a machine that has none."""

import dataclasses

from genjax import data
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.spec import DataSpec, Tokens

__all__ = ["longest_rows", "spec_without_data", "tokens_an_example"]

SAID = ("image_shape", "vocabulary", "context")  # fields of models that say what the data is


def spec_without_data(experiment: Experiment) -> DataSpec:
    """The data's description from the recipe alone; the data is opened only where the recipe does not say enough.

    Raises UserError where the data is not there either.
    """
    model = experiment.model
    known = data.known_spec(experiment.data)
    spec = DataSpec(known.fields | model.expects())
    try:
        model.resolve(spec)
        return spec
    except UserError as lacking:
        try:
            return data.load(experiment.data).spec
        except UserError as error:
            said = (*SAID, "classes") if hasattr(model, "vocabulary") else SAID  # of images labels are not needed
            missing = [f"--model.{name.replace('_', '-')}" for name in said if getattr(model, name, 0) is None]
            if not missing:
                raise lacking from None
            raise UserError(f"{error}; without the data, give {' and '.join(missing)}") from error


def tokens_an_example(spec: DataSpec) -> int:
    """Of all fields of text at their longest; 0 without text."""
    return sum(field.longest for field in spec.of_kind(Tokens).values())


def longest_rows(experiment: Experiment, spec: DataSpec) -> Experiment:
    """The experiment with the batch size that its order gives the longest texts."""
    order, data = experiment.data.order, experiment.data
    longest = max((field.longest for field in spec.of_kind(Tokens).values()), default=0)
    if order is None or not longest:
        return experiment
    rows = order.rows(order.lengths(longest)[-1], data.batch_size)
    return dataclasses.replace(experiment, data=dataclasses.replace(data, batch_size=rows))
