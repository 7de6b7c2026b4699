"""`genjax encode`: a run's images become the data set of latent diffusion."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

import genjax
from genjax import cli, data
from genjax.errors import UserError
from genjax.evaluation import encoding
from genjax.experiment import Data
from genjax.models import GAN, VAE

TINY = "--train.steps 2 --data.batch-size 64 --eval.examples 64 --eval.grid 4 --model.widths 4 8".split()


def run_command(*argv) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main([str(arg) for arg in argv])
    return exit.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("encode") / "run"
    assert run_command("train", "kl_digits", "--out", out, *TINY) == 0
    return out


def test_both_splits_are_encoded_in_order(run, tmp_path, capsys):
    file = tmp_path / "latents.npz"
    assert run_command("encode", run, "--out", file) == 0
    assert str(file) in capsys.readouterr().out
    digits, encoded = data.load(Data(source="digits")), data.load(Data(path=str(file)))
    assert encoded.spec.latent_shape == (4, 4, 2) and encoded.spec.image_shape == (8, 8, 1)
    assert encoded.spec.class_names == digits.spec.class_names
    model, params, _ = genjax.restore(run)
    means, variances = [], []
    for split in ("train", "validation"):
        source, latent = getattr(digits, split), getattr(encoded, split)
        assert len(source) == len(latent)  # neither is a multiple of the batch: what filled up the last is left out
        np.testing.assert_array_equal(source.label_N, latent.label_N)
        mean, log_var = jax.jit(model.encode)(params, source.image_NHWC)
        expected = np.concatenate([mean, log_var], axis=-1)
        np.testing.assert_allclose(latent.latent_NHWC, expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
        means, variances = [*means, mean], [*variances, np.exp(log_var)]
    draws = np.random.default_rng(0).normal(size=means[0].shape)
    z = np.asarray(means[0] + np.sqrt(variances[0]) * draws)
    assert encoded.spec.latent_std == pytest.approx(float(z.std()), rel=0.01)


def test_one_program_encodes_all_batches(run, tmp_path, monkeypatch):
    traced, encode = [], VAE.encode
    monkeypatch.setattr(VAE, "encode", lambda self, *args: traced.append(1) or encode(self, *args))
    assert run_command("encode", run, "--out", tmp_path / "latents.npz") == 0
    assert len(traced) == 1


def test_mistakes_are_one_line(run, tmp_path, capsys):
    def line() -> str:
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert run_command("encode", run, "--out", tmp_path / "latents.npy") == 2
    assert "written as .npz" in line()
    assert run_command("encode", tmp_path / "missing") == 1
    assert "does not exist" in line()
    assert run_command("encode", run, "--out", "/proc/latents.npz") == 1
    assert "cannot write /proc/latents.npz" in line()
    assert run_command("encode", run, "--out", tmp_path / "latents.npz") == 0
    assert run_command("train", "vae_digits", "--data.path", tmp_path / "latents.npz", "--out", tmp_path / "x") == 1
    assert "needs data with images" in line()


def test_other_systems_are_refused(tmp_path):
    for model in (VAE(network="conv"), GAN()):
        opened = SimpleNamespace(engine=SimpleNamespace(model=model))
        with pytest.raises(UserError, match=r"needs a run of VAE with --model.network spatial"):
            encoding.encode(opened, tmp_path / "latents.npz")
