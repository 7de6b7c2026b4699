"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest

from genjax import cli, recipes

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_definitions_are_imported_as_shown():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    namespace = {}
    for block in [b for b in blocks if "genjax.train(" not in b]:
        exec(block, namespace)
    assert namespace["out"].loss.shape == () and namespace["features"].shape == (8, 32)


def test_every_command_and_recipe_named_is_there():
    named = re.findall(
        r"genjax (train|sample|eval|inspect|export|corpus|list|plan|bench|encode)\b *([a-z0-9_]*)", README
    )
    assert {command for command, _ in named} <= set(cli.COMMANDS)
    known = recipes.recipe_files()
    assert {recipe for _, recipe in named if "_" in recipe} <= set(known)
    assert set(known) == set(re.findall(r"^\| `([a-z0-9_]+)` \|", README, re.M))


@pytest.mark.parametrize("name", sorted(recipes.recipe_files()))
def test_recipes_open_with_what_they_are_and_their_command(name):
    text = recipes.description(recipes.recipe_files()[name])
    assert len(text.splitlines()[0]) > 20 and f"genjax train {name}" in text
    assert "MEASURE" not in text
    recipes.load_experiment(name)
