"""`genjax encode`: a run's data becomes the data of a model of its codes."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from evaluation.doubles import PICTURES, TEXT, Blurrer, Painter, Quantizer, dataset, engine

import genjax
from genjax import cli, data
from genjax.errors import UsageError, UserError
from genjax.evaluation import encoding
from genjax.experiment import Data
from genjax.models import VAE
from genjax.spec import DataSpec

TINY = "--train.steps 2 --data.batch-size 64 --eval.examples 64 --eval.grid 4 --model.network.widths 4 8".split()


def run_command(*argv) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main([str(arg) for arg in argv])
    return exit.value.code


def opened(model, spec=PICTURES, **split):
    built = engine(model, spec)
    return SimpleNamespace(engine=built, state=built.init(), dataset=dataset(spec, **split))


def arrays(source, *names):
    batch = source.gather(np.arange(len(source)))
    return [batch[name] for name in names]


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
    field = encoded.spec.fields["latent"]
    assert field.shape == (4, 4, 2) and field.image == digits.spec.fields["image"]
    assert encoded.spec.fields["label"] == digits.spec.fields["label"]
    restored = genjax.restore(run)
    model, params, state = restored[:3]
    means, variances = [], []
    for split in ("train", "validation"):
        source, latent = digits.splits[split], encoded.splits[split]
        assert len(source) == len(latent)  # neither is a multiple of the batch: what filled up the last is left out
        (image, label), (code, its_label) = arrays(source, "image", "label"), arrays(latent, "latent", "label")
        np.testing.assert_array_equal(label, its_label)
        batch = {"index": np.arange(len(image), dtype=np.int32), "image": image, "label": label}
        expected = jax.jit(model.encode)(params, state, batch, jax.random.key(0))
        np.testing.assert_allclose(code, expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
        mean, log_var = np.split(np.asarray(expected), 2, axis=-1)
        means, variances = [*means, mean], [*variances, np.exp(log_var)]
    draws = np.random.default_rng(0).normal(size=means[0].shape)
    z = means[0] + np.sqrt(variances[0]) * draws
    assert field.std == pytest.approx(float(z.std()), rel=0.01)


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
    assert "VAE needs the field `image`" in line()


def test_any_model_with_continuous_codes_is_encoded(tmp_path):
    source = opened(Blurrer(), train=14, validation=6, torn=(2,))
    file, words = encoding.encode(source, tmp_path / "latents.npz")
    with np.load(file) as written:
        assert written["train_latent"].shape == (14, 4, 4, 2) and written["validation_latent"].shape == (5, 4, 4, 2)
        image, label = arrays(source.dataset.train, "image", "label")
        mean = image.reshape(-1, 4, 2, 4, 2).mean((2, 4))
        np.testing.assert_allclose(written["train_latent"][..., 0], mean, atol=1e-3)
        np.testing.assert_array_equal(written["train_label"], label)
        std = float(written["latent_std"])
    assert std == pytest.approx(np.sqrt(mean.var() + 0.25), rel=1e-5) and words.endswith(f"{std:.4g}")


def test_ids_are_written_as_tokens_with_the_fields_that_are_no_images(tmp_path):
    spec = DataSpec({**PICTURES.fields, "caption": TEXT})
    source = opened(Quantizer(), spec, train=9, validation=5, torn=(0, 4))
    file, words = encoding.encode(source, tmp_path / "ids.npz")
    assert words == "ids below 4"
    with np.load(file) as written:
        assert sorted(written) == sorted(
            f"{split}_{name}" for split in ("train", "validation")
            for name in ("tokens", "label", "caption", "caption_length")
        )  # fmt: skip
        assert written["train_tokens"].shape == (9, 4) and written["validation_tokens"].shape == (3, 4)
        np.testing.assert_array_equal(written["validation_label"], source.dataset.validation.arrays["label"][1:4])
        image = source.dataset.validation.arrays["image"][1:4]
        bright = np.floor(2 + 20 * image.reshape(-1, 2, 4, 2, 4).mean((2, 4)).reshape(-1, 4)).clip(0, 3)
        np.testing.assert_array_equal(written["validation_tokens"], bright)


@pytest.mark.parametrize("model", [Blurrer(), Quantizer()], ids=["latents", "ids"])
def test_a_folder_holds_what_the_archive_does(tmp_path, model):
    source = opened(model, train=9, validation=5, torn=(0, 4))
    file, words = encoding.encode(source, tmp_path / "codes.npz")
    folder, same_words = encoding.encode(source, tmp_path / "codes")
    assert words == same_words
    read = data.load(Data(path=str(folder)))
    name = "latent" if isinstance(model, Blurrer) else "tokens"
    assert read.spec.fields.keys() == {name, "label"} and read.spec.train_examples == 9
    with np.load(file) as written:
        for split in ("train", "validation"):
            code, label = arrays(read.splits[split], name, "label")
            np.testing.assert_array_equal(code, written[f"{split}_{name}"])
            np.testing.assert_array_equal(label, written[f"{split}_label"])
        if name == "latent":
            assert read.spec.fields["latent"].std == float(written["latent_std"])


def test_batches_are_not_held_in_memory(tmp_path, monkeypatch):
    held, save = [], np.save
    monkeypatch.setattr(encoding.codes, "BYTES", 1)
    monkeypatch.setattr(np, "save", lambda path, array, **more: held.append(len(array)) or save(path, array, **more))
    encoding.encode(opened(Quantizer(), train=9, validation=5), tmp_path / "codes")
    assert max(held) <= 4  # a batch


def test_other_systems_other_names_and_latents_without_end_are_refused(tmp_path):
    out = tmp_path / "x.npz"
    with pytest.raises(UserError, match=r"needs a run of a first stage, .* not Painter"):
        encoding.encode(opened(Painter()), out)
    with pytest.raises(UsageError, match=r"codes are written as \.npz"):
        encoding.encode(opened(Quantizer()), tmp_path / "x.csv")
    with pytest.raises(UserError, match="the codes would be the field `tokens`, which this data has"):
        encoding.encode(opened(Quantizer(), DataSpec({**PICTURES.fields, "tokens": TEXT})), out)
    huge = opened(Blurrer())
    scaled = huge.state.replace(params={"net": {"scale": np.float32(1e7)}})
    with pytest.raises(UserError, match="latents of the train split are beyond 65504"):
        encoding.encode(SimpleNamespace(**{**vars(huge), "state": scaled}), out)
    assert not out.exists()
