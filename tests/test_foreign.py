"""Runs of other people, and an environment that says nonsense: one line, and nothing written elsewhere."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from genjax import cli

SIZES = "--train.steps 1 --data.batch-size 8 --eval.examples 8 --eval.grid 2".split()
VAE = "--model.network DenseAutoencoder --model.network.widths 4 --model.latent 2".split()
GPT = "--model.layers 1 --model.heads 1 --model.width 8 --data.context 8".split()


def genjax(*argv) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main([str(arg) for arg in argv])
    return exit.value.code


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run of images, and one of text."""
    folder = tmp_path_factory.mktemp("foreign")
    image = np.random.default_rng(0).random((40, 8, 8, 1), np.float32)
    np.savez(folder / "image.npz", image=image)
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 99)
    argv = ["train", "vae_digits", *SIZES, *VAE, "--data.path", folder / "image.npz", "--out", folder / "image"]
    assert genjax(*argv) == 0
    argv = ["train", "gpt_pydoc", *SIZES, *GPT, "--data.path", folder / "text.txt", "--data.tokenizer", "char"]
    assert genjax(*argv, "--out", folder / "text") == 0
    return folder


@pytest.fixture
def place(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


def test_without_its_tokenizer_a_run_writes_no_ids_as_text(place, capsys):
    run = place / "text"
    saved = (run / "tokenizer.json").read_text()
    (run / "tokenizer.json").unlink()
    assert genjax("sample", run, "--num", "2") == 1
    assert "tokenizer.json' is missing: it is the one that the run was trained with" in capsys.readouterr().err
    swapped = json.loads(saved)
    swapped["characters"] = swapped["characters"][::-1]
    (run / "tokenizer.json").write_text(json.dumps(swapped))
    assert genjax("sample", run, "--num", "2") == 1
    assert "another tokenizer than the one that the run was trained with" in capsys.readouterr().err
    (run / "tokenizer.json").write_text(saved)
    assert genjax("sample", run, "--num", "2") == 0


def test_weights_of_another_tokenizer_are_refused(sound, tmp_path, capsys):
    file, text = tmp_path / "w.safetensors", tmp_path / "other.txt"
    assert genjax("export", sound / "text", "--out", file) == 0
    text.write_text((sound / "text.txt").read_text().upper())  # as many characters, and other ones
    argv = ["train", "gpt_pydoc", *SIZES, *GPT, "--data.tokenizer", "char", "--train.init-from", file]
    assert genjax(*argv, "--data.path", text, "--out", tmp_path / "run") == 2
    assert "was trained with another tokenizer than that of this data" in capsys.readouterr().err
    assert genjax(*argv, "--data.path", sound / "text.txt", "--out", tmp_path / "run") == 0


@pytest.mark.parametrize("entry", ["samples", "checkpoints", "tensorboard", "metrics.jsonl", "report.html"])
def test_nothing_is_written_behind_a_link_in_a_run(sound, place, entry, capsys):
    run, outside = place / "image", place / "outside"
    outside.mkdir()
    (run / entry).rename(outside / entry)
    (run / entry).symlink_to(outside / entry)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    data = ["--data.path", sound / "image.npz"]
    assert genjax("train", "vae_digits", *SIZES, *VAE, *data, "--train.steps", "2", "--out", run) == 1
    assert f"{entry}' is a link" in capsys.readouterr().err
    assert genjax("sample", run, "--num", "2") == 1
    assert before == {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}


def test_the_data_that_a_run_of_another_user_names_is_read_only_where_asked(place, monkeypatch, capsys):
    monkeypatch.setattr(os, "getuid", lambda: (place / "image" / "config.json").stat().st_uid + 1)
    assert genjax("sample", place / "image", "--num", "2") == 0
    for argv in (["eval"], ["encode"], ["sample", "--mode", "reconstruct"]):
        command, *rest = argv
        assert genjax(command, place / "image", *rest) == 1
        assert "is a run of another user, and names data to read" in capsys.readouterr().err
    assert genjax("eval", place / "image", "--data.path", place / "image.npz") == 0
    saved = json.loads((place / "image" / "config.json").read_text())
    saved["data"]["order"] = {"type": "Mixture", "others": {str(place / "text.txt"): 0.5}}
    (place / "image" / "config.json").write_text(json.dumps(saved))
    assert genjax("eval", place / "image", "--data.path", place / "image.npz") == 1
    assert f"names data to read, {place / 'text.txt'}" in capsys.readouterr().err


def test_what_comes_from_outside_does_not_speak_to_the_terminal(place, capsys):
    file = place / "image" / "config.json"
    saved = json.loads(file.read_text())
    for change in (
        {"system": "\x1b[2J"},
        {"\x1b]0;title\x07": 1},
        {"data": saved["data"] | {"source": "\x9b31m", "path": None}},
    ):
        file.write_text(json.dumps(saved | change))
        assert genjax("eval", place / "image") in (1, 2)
        said = capsys.readouterr()
        assert (said.out + said.err).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["image", "--num", "200000000000"], "an array of so many numbers would take 800 GB"),
        (["image", "--num", "2000000000"], "the conditions of 2000000000 samples would take 8 GB, and there are"),
        (["image", "--num", "5000"], "5000 samples would take 1.28 MB, and there are 1 MB: take a smaller --num"),
        (["text", "--max-new-tokens", "1000000000000"], "an array of so many numbers would take 4 TB"),
        (["text", "--prompt", "\udcff"], "which is no character"),
        (["image", "--out", "gs://bucket/x.png"], "--out gs:/bucket/x.png: is an address"),
        (["image", "--out", "~nosuchuser/x.png"], "there is no such user"),
    ],
)
def test_options_that_mean_nothing(sound, argv, words, capsys, monkeypatch):
    monkeypatch.setattr("genjax.evaluation.conditions.available", lambda: 16 * 10**9)
    monkeypatch.setattr("genjax.cli.use.free_on_disk", lambda place: 10**6)
    assert genjax("sample", sound / argv[0], *argv[1:]) in (1, 2)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting, words",
    [
        ("JAX_PLATFORMS=bogus", "bogus"),
        ("JAX_NUM_CPU_DEVICES=x", "jax_num_cpu_devices"),
        ("JAX_ENABLE_X64=maybe", "JAX_ENABLE_X64"),
        ("SLURM_NTASKS=abc", "SLURM_NTASKS=abc in the environment: must be a whole number"),
        ("OMPI_COMM_WORLD_SIZE=abc", "OMPI_COMM_WORLD_SIZE=abc in the environment: must be a whole number"),
    ],
)
def test_an_environment_of_nonsense_is_one_line(tmp_path, setting, words):
    name, value = setting.split("=")
    command = [sys.executable, "-m", "genjax.cli", "train", "vae_digits", *SIZES, *VAE, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {name: value}, timeout=120)
    lines = [line for line in done.stderr.splitlines() if line.startswith("genjax: ")]
    assert done.returncode == 1 and len(lines) == 1 and words in lines[0] and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_backend_of_other_figures_does_not_matter(tmp_path):
    command = [sys.executable, "-m", "genjax.cli", "train", "vae_digits", *SIZES, *VAE, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "bogus"}, timeout=300
    )
    assert done.returncode == 0 and (tmp_path / "run" / "report.html").exists(), done.stderr
