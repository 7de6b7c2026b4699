"""help() of a dataclass lists its fields with what the source says of them."""

import dataclasses
import inspect

from genjax.described import described, fields_of
from genjax.experiment import Data, EntryOptim, Eval, Gradient, Mesh, Optim, Task, Train
from genjax.models import GPT
from genjax.registry import KINDS


@dataclasses.dataclass
class Parent:
    size: int = 3  # in pixels
    # of the shorter side


@described
@dataclasses.dataclass
class Child(Parent):
    """A child.

    Of a parent.
    """

    name: str = "x"
    # The comment above a field.
    shape: tuple[int, ...] = ()


def test_fields_stand_with_their_comments_after_the_docstring():
    assert inspect.getdoc(Child).splitlines() == [
        "A child.",
        "",
        "Of a parent.",
        "",
        "Attributes:",
        "  size (int = 3): in pixels of the shorter side",
        "  name (str = 'x'):",
        "  shape (tuple[int, ...] = ()): The comment above a field.",
    ]


def test_models_and_sections_of_an_experiment_are_described():
    assert "rope_base (float = 10000.0)" in GPT.__doc__ and "z_loss" in GPT.__doc__
    assert "batch_size (int = 64): examples a step, over all devices" in Data.__doc__
    for cls in KINDS.values():
        assert all(f"  {field.name} (" in cls.__doc__ for field in dataclasses.fields(cls)), cls


def test_every_flag_of_a_section_says_what_it_means():
    sections = (Data, EntryOptim, Optim, Train, Gradient, Mesh, Eval, Task)
    assert [(cls.__name__, field.name) for cls in sections for field in fields_of(cls) if not field.comment] == []


def test_a_class_without_source_has_its_own_docstring():
    namespace = {"dataclass": dataclasses.dataclass, "__name__": "nowhere"}
    exec("@dataclass\nclass Made:\n    'Made up.'\n    size: int = 3", namespace)
    made = described(namespace["Made"])
    assert fields_of(made) == [] and made.__doc__ == "Made up."
