"""Numbers and sizes that are too large to mean anything are one line, before anything is allocated."""

import dataclasses

import numpy as np
import pytest

from genjax import data
from genjax.command_line import parse
from genjax.engine.engine import Engine
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, Experiment
from genjax.memory import UNITS, available, readable, require_room
from genjax.models import VAE, DenseAutoencoder
from genjax.spec import DataSpec, Image

SPEC = DataSpec({"image": Image(8, 8, 1)}, 8, 8)


def test_sizes_are_readable():
    sizes = (0, 999, 1000, 1_500_000, 4 * 10**20, 10**24)
    assert [readable(size) for size in sizes] == ["0 B", "999 B", "1 kB", "1.5 MB", "400 EB", "1,000,000 EB"]


def test_there_is_memory_and_not_without_end():
    assert 2**20 < available() < 2**50
    require_room(available() // 2, "half")
    with pytest.raises(UserError, match=r"it would take 1,000 EB, and there are .*: less of it"):
        require_room(10**21, "it", "less of it")


@pytest.mark.parametrize(
    "flag, number", [("model.latent", 10**20), ("data.image-size", 10**13), ("model.network.widths", 10**12)]
)
def test_numbers_of_which_no_array_fits_are_refused_by_their_flag(flag, number):
    experiment = Experiment(VAE(network=DenseAutoencoder(widths=(4,)), latent=2))
    with pytest.raises(UsageError, match=f"^--{flag} {number}: an array of so many numbers would take"):
        parse("train x", Experiment, experiment, [f"--{flag}", str(number)])


def test_a_seed_is_no_count():
    parsed = parse("train x", Experiment, Experiment(VAE()), ["--train.seed", str(2**32 - 1)])
    assert parsed.train.seed == 2**32 - 1


@pytest.mark.parametrize("change", [{"latent": 10**9}, {"network": DenseAutoencoder(widths=(10**6, 10**6))}])
def test_a_state_that_does_not_fit_is_never_created(change):
    model = dataclasses.replace(VAE(network=DenseAutoencoder(widths=(4,)), latent=2), **change).resolve(SPEC)
    engine = Engine(Experiment(model, Data(batch_size=8)), SPEC)
    with pytest.raises(UserError, match=r"the state of the model and a batch would take .* TB"):
        engine.init()


def test_a_batch_that_does_not_fit_is_never_created():
    model = VAE(network=DenseAutoencoder(widths=(4,)), latent=2).resolve(SPEC)
    with pytest.raises(UserError, match="a batch would take"):
        Engine(Experiment(model, Data(batch_size=10**11)), SPEC).init()
    with pytest.raises(UserError, match="a batch of 100000000000 examples would take"):
        data.synthetic_dataset(SPEC, 10**11)


@pytest.mark.parametrize("size", [100_000, 10**8])
def test_pictures_that_would_be_enlarged_too_far(tmp_path, size):
    np.savez(tmp_path / "x.npz", image=np.zeros((1000, 8, 8), np.uint8) + 3)
    with pytest.raises(UserError, match=rf"900 images of {size} x {size} would take"):
        data.load(Data(path=str(tmp_path / "x.npz"), image_size=size))


def test_a_size_beyond_all_units_is_said_too():
    assert readable(1000 ** len(UNITS)) == f"1,000 {UNITS[-1]}"
    assert readable(10**400) == readable(10**9000) == f"more than 1,000,000 {UNITS[-1]}"
