"""The recipes for people's own data, on what people have: pictures of all sizes and modes, and a book."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image as Picture

import genjax
from genjax import data
from genjax.engine.engine import Engine
from genjax.engine.feed import feed
from genjax.engine.step import due_turns
from genjax.runs.check import resolve

MODES, SIZES = ("RGB", "L", "RGBA", "P"), ((40, 40), (64, 48), (33, 57))
SMALL = {  # fields of the network with which a recipe compiles in seconds
    "vae_images": {"widths": (8, 8)},
    "gan_images": {"generator_width": 8, "discriminator_width": 8},
    "ddpm_images": {"channels": 8, "multipliers": (1, 1), "attention": ()},
}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """recipe -> a folder of 24 pictures in two classes, or a text."""
    place, random = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for i in range(24):
        mode, (width, height) = MODES[i % 4], SIZES[i % 3]
        folder = place / "photos" / ("cats", "dogs")[i // 12]
        folder.mkdir(parents=True, exist_ok=True)
        colours = Picture.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        colours.convert(mode).save(folder / f"{i}.png")
    words = random.choice(["the", "cat", "sat", "on", "a", "mat", "and", "slept", "until", "noon"], 6000)
    (place / "book.txt").write_text(" ".join(words))
    return lambda recipe: place / ("book.txt" if recipe == "gpt_text" else "photos")


def own(recipe, path, **changes):
    experiment = genjax.load_experiment(recipe)
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, path=str(path), **changes))


@pytest.mark.parametrize("recipe", [*SMALL, "gpt_text"])
def test_a_recipe_fits_what_people_have(recipe, mine):
    experiment = own(recipe, mine(recipe))
    dataset = data.load(experiment.data)
    model = resolve(experiment, dataset.spec).model
    params, _ = jax.eval_shape(lambda key: model.init(key, dataset.spec), jax.random.key(0))
    assert 100_000 < sum(leaf.size for leaf in jax.tree.leaves(params)) < 3_000_000
    if recipe != "gpt_text":
        assert model.image_shape == (32, 32, 3)
        assert model.classes == (0 if recipe == "vae_images" else 2)


def small(recipe, path):
    """The recipe with a network that compiles in seconds."""
    experiment = own(recipe, path, batch_size=8)
    model = experiment.model
    if recipe in SMALL:
        model = dataclasses.replace(model, network=dataclasses.replace(model.network, **SMALL[recipe]))
    else:
        model = dataclasses.replace(model, layers=1, width=16)
    train = dataclasses.replace(experiment.train, steps=3)
    return dataclasses.replace(experiment, model=model, train=train)


@pytest.mark.parametrize("recipe", [*SMALL, "gpt_text"])
def test_a_recipe_trains_on_it(recipe, mine):
    experiment = small(recipe, mine(recipe))
    dataset = data.load(experiment.data)
    engine = Engine(resolve(experiment, dataset.spec), dataset.spec)
    state, batches = engine.init(), feed(engine, dataset)
    for step in range(2):
        state, metrics = engine.step(state, [next(batches)], (due_turns(engine.experiment, step),))
    losses = {name: float(value) for name, value in metrics[0].items() if name.endswith("/loss")}
    assert losses and all(np.isfinite(list(losses.values())))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*SMALL, "gpt_text"])
def test_a_recipe_shows_what_it_draws(recipe, mine, tmp_path):
    experiment = small(recipe, mine(recipe))
    shown = dataclasses.replace(experiment.eval, examples=8, grid=4)
    genjax.train(dataclasses.replace(experiment, eval=shown), tmp_path / "run")
    sheet = next((tmp_path / "run" / "samples").glob("3.*"))
    assert sheet.suffix == (".txt" if recipe == "gpt_text" else ".png")
