"""The example of CONTRIBUTING: the file that it shows trains, resumes and is sampled, and finds vowels."""

import re
from pathlib import Path

import numpy as np
import pytest

import genjax
from genjax import cli
from genjax.registry import KINDS

TEXT = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    recipe = folder / "letters.py"
    recipe.write_text(re.search(r"```python\n(.*?)```", TEXT.read_text(), re.DOTALL)[1])
    cli.run(["train", str(recipe), "--out", str(folder / "run"), "--eval.examples", "256"])
    yield recipe, folder / "run"
    KINDS.pop("Letters", None)


def test_one_state_has_the_vowels_and_another_the_consonants(trained):
    model, params, _ = genjax.restore(trained[1])
    emit_KV = np.exp(params["hmm"]["emit"])
    vowels, consonants = (np.array([emit_KV[:, ord(c)] for c in letters]) for letters in ("aeiou", "tnsrdlcm"))
    states = {tuple(rows.argmax(1)) for rows in (vowels, consonants)}
    assert {len(set(state)) for state in states} == {1} and len({state[0] for state in states}) == 2
    assert model.symbols == 256


def test_it_is_sampled_by_the_recipe_that_its_owner_names(trained, capsys):
    recipe, run = trained
    cli.run(["sample", str(run), "--recipe", str(recipe), "--num", "3"])
    file = Path(capsys.readouterr().out.strip().splitlines()[0])
    assert file.suffix == ".txt" and "1 of 3" in file.read_text()
