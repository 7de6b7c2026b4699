"""The command line as its users meet it: what they see, and one line for each of their mistakes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genjax as suite
from genjax import cli
from genjax.errors import UsageError
from genjax.registry import KINDS
from genjax.runs import checkpoint

TINY = "--train.steps 2 --data.batch-size 8 --eval.examples 8 --eval.grid 4 --model.network.widths 8".split()


def genjax(*argv: str) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main([str(arg) for arg in argv])
    return exit.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    assert genjax("train", "vae_digits", "--out", out, *TINY) == 0
    return out


def test_list_names_every_recipe(capsys):
    assert genjax("list") == 0
    lines = capsys.readouterr().out.splitlines()
    names = {"vae_digits", "vae_mnist", "gan_digits", "dcgan_mnist", "dcgan_celeba64"}
    names |= {"gpt_pydoc", "gpt_shakespeare_char", "gpt2_124m", "gpt3_175b"}
    assert names <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 5 for line in lines)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "train",
        "sample",
        "eval",
        "inspect",
        "list",
        "corpus",
        "bench",
        "encode",
        "plan",
        "export",
        "compare",
        "film",
        "sweep",
    ],
)
def test_every_command_explains_itself(command, capsys):
    assert genjax(*command.split(), "--help") == 0
    assert f"genjax {command}".strip() in capsys.readouterr().out


def test_the_overview_names_every_command(capsys):
    assert genjax() == 0
    text = capsys.readouterr().out
    assert all(f"\n  genjax {command}" in text for command in cli.COMMANDS)


def test_help_of_a_recipe_documents_every_section(capsys):
    assert genjax("train", "gan_digits", "--help") == 0
    text = capsys.readouterr().out
    for section in ("model", "data", "optim", "train", "mesh", "eval"):
        assert f"--{section}." in text


MISTAKES = [
    (["tran"], 2, "did you mean train?"),
    (["train"], 2, "needs a RECIPE"),
    (["train", "vae_digit"], 2, "did you mean vae_digits"),
    (["train", "missing.py"], 2, "does not exist"),
    (["train", "vae_digits", "--model.latnt", "3"], 2, "--model.latent"),
    (["train", "vae_digits", "--steps", "3"], 2, "perhaps you meant --train.steps"),
    (["train", "vae_digits", "--optim.lr", "3"], 2, "perhaps you meant --optim.learning-rate"),
    (["train", "vae_digits", "--gpu", "0"], 2, "`genjax train vae_digits --help` lists them"),
    (["train", "vae_digits", "."], 2, "perhaps you meant --data.path ."),
    (["train", "vae_digits", "--model.latent", "many"], 2, "--model.latent"),
    (["train", "vae_digits", "--model.network", "big"], 2, "there are ConvAutoencoder, DenseAutoencoder"),
    (["train", "vae_digits", "--model.network", "DenseAutoencodr"], 2, "did you mean DenseAutoencoder?"),
    (["train", "vae_digits", "--data.order", "Bucket"], 2, "did you mean Buckets?"),
    (["train", "vae_digits", "--data.fields", "image"], 2, "write NAME=COLUMN"),
    (["train", "vae_digits", "--train.gradient.clip-norm", "0"], 2, "--train.gradient.clip-norm 0"),
    (["train", "vae_digits", "--model.latent", "0"], 2, "must be positive"),
    (["train", "vae_digits", "--data.batch-size", "0"], 2, "--data.batch-size 0"),
    (["train", "vae_digits", "--data.batch-size", "-4"], 2, "--data.batch-size -4"),
    (["train", "vae_digits", "--train.steps", "0"], 2, "--train.steps 0"),
    (["train", "vae_digits", "--train.freeze", "head"], 2, "the entries are decoder, encoder"),
    (["train", "vae_digits", "--train.freeze", "encoder", "decoder"], 2, "nothing to train"),
    (["train", "vae_digits", "--train.ema-decay", "1.5"], 2, "--train.ema-decay 1.5"),
    (["train", "vae_digits", "--train.seed", "4294967296"], 2, "--train.seed 4294967296"),
    (["train", "vae_digits", "--optim.learning-rate", "nan"], 2, "--optim.learning-rate nan"),
    (["train", "vae_digits", "--optim.b1", "7"], 2, "--optim.b1 7"),
    (["train", "vae_digits", "--eval.metrics", "beauty"], 2, "unknown metric beauty: there are fd, fid, kid"),
    (["train", "gpt_pydoc", "--eval.metrics", "swd"], 2, "swd compares fields of kind Image"),
    (["train", "latent_digits"], 2, "first_stage.decoder, first_stage.encoder: frozen"),
    (["train", "vae_digits", "--data.source", "digit"], 2, "did you mean digits?"),
    (["train", "vae_digits", "--data.path", "no/such/place"], 1, "no such file or folder"),
    (["train", "vae_digits", "--data.batch-size", "12"], 1, "take a multiple of 8"),
    (
        "train vae_digits --data.order Poisson --data.batch-size 16 --train.grad-accumulation 2".split(),
        1,
        "the order makes batches of 40 rows, which do not divide into 8 devices x 2 micro-batches: "
        "--data.order.multiple 16",
    ),
    (["train", "vae_digits", "--mesh.data", "3"], 1, "does not fit 8 devices"),
    (["train", "vae_digits", "--mesh.fsdp", "2", "--train.backend", "pmap"], 1, "--train.backend jit"),
    (["train", "vae_digits", "--mesh.fsdp=2", "--mesh.tensor=2", "--train.backend=pmap"], 1, "--train.backend jit"),
    (["train", "vae_digits", "--mesh.num-processes", "2"], 1, "go together"),
    (["train", "vae_digits", "--train.init-from", "head=x"], 2, "the entries are"),
    (
        ["train", "vae_digits", "--train.init-from", "encoder=x.safetensors"],
        1,
        "x.safetensors: cannot be read (No such file",
    ),
    (["train", "gpt_pydoc", "--data.source", "digits"], 1, "needs the field `tokens`"),
    (["train", "gpt_pydoc", "--data.context", "100000000"], 1, "--data.context"),
    (["train", "vae_digits", "--data.source", "pydoc"], 1, "needs the field `image`"),
    (["bench", "vae_digits", "--json", "no/such/x.json"], 1, "there is no folder 'no/such'"),
    (["bench", "vae_digits", "--train.eval-every", "-5"], 2, "--train.eval-every -5"),
    (["sample", "no/such/run"], 1, "does not exist"),
    (["eval", "."], 1, "not a run directory"),
    (["train", "vae_digits", "--eval.metrics", "fid"], 2, "--features inception:FILE needs its weights"),
    (["train", "vae_digits", "--eval.metrics", "is", "--eval.features", "random"], 2, "random is no classifier"),
    (["train", "vae_digits", "--eval.samples", "0"], 2, "--eval.samples 0"),
    (["compare", "one", "--out", "x.html"], 2, "two runs or more"),
    (["compare", "one", "two", "--out", "x.pdf"], 2, "ends in .html"),
    (["compare", "one", "two", "--out", "x.html"], 1, "'one' is not a run directory"),
    (["corpus", "missing.txt", "--out", "corpus"], 1, "missing.txt"),
]


@pytest.mark.parametrize("argv, status, words", MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_line_and_a_status(argv, status, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert genjax(*argv) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("genjax: ")]
    assert len(lines) == 1 and words in lines[0]


def test_a_misspelt_run_is_guessed(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs" / "vae_digits").mkdir(parents=True)
    (tmp_path / "runs" / "vae_digits" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert genjax("sample", "runs/vae_digit") == genjax("sample", "vae_digits") == 1
    assert capsys.readouterr().err.count("did you mean runs/vae_digits?") == 2


def test_mistakes_about_a_run(run, tmp_path, capsys):
    def line() -> str:
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert genjax("train", "vae_digits", "--out", run, *TINY, "--model.latent", "3") == 1
    assert "model.latent: 8 there, 3 here" in line()
    assert genjax("sample", run, "--mode", "dream") == 2
    assert "'prior', 'reconstruct', 'interpolate'" in line()
    assert genjax("sample", run, "--num", "0") == 2
    assert genjax("sample", run, "--seed", "4294967296") == 2
    assert genjax("eval", run, "--eval.examples", "0") == 2
    assert "--eval.examples 0: must be at least 1" in line()
    assert genjax("sample", run, "--checkpoint", "77") == 1
    assert "there is no checkpoint '77'" in line()
    assert genjax("sample", run, "--out", tmp_path / "x.bmp") == 2
    assert ".png or .jpg or .jpeg or .webp or .gif or .mp4 or" in line()
    assert genjax("sample", run, "--out", "-") == 2
    assert "--out -: these samples are no words" in line()
    assert genjax("sample", run, "--label", "three") == 2
    assert "--label three: the classes are 0 to 9" in line()
    assert genjax("eval", run, "--metrics", "beauty") == 2
    assert "unknown metric beauty" in line()
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    (untrained / "config.json").write_text((run / "config.json").read_text())
    for command in ("sample", "eval"):
        assert genjax(command, untrained) == 1
        assert "no checkpoints yet" in line()
    config = json.loads((run / "config.json").read_text())
    (untrained / "config.json").write_text(json.dumps(config | {"system": "Oracle"}))
    assert genjax("sample", untrained) == 1
    assert "'Oracle', which is not registered" in line()
    for broken in ("{", "[]"):
        (untrained / "config.json").write_text(broken)
        assert genjax("sample", untrained) == 1


def test_a_better_older_checkpoint_is_told_of(run, tmp_path, monkeypatch, capsys):
    told = "genjax: step 2 is used (-31); by validation elbo step 1 was better (-20.5): --checkpoint best\n"
    for scores, words in (({1: -20.5, 2: -31.0}, told), ({1: -31.0, 2: -20.5}, ""), ({}, "")):
        monkeypatch.setattr(checkpoint, "scores", lambda run, metric, scores=scores: scores)
        assert genjax("sample", run, "--num", "4", "--out", tmp_path / "x.npz") == 0
        assert capsys.readouterr().err == words


def test_real_pictures_stand_beside_the_samples(run):
    assert Image.open(run / "samples" / "data.png").size == Image.open(run / "samples" / "2.png").size
    assert 'alt="real examples"' in (run / "report.html").read_text()


def test_sample_writes_what_was_asked_for(run, tmp_path, capsys):
    for mode in ("prior", "reconstruct", "interpolate"):
        file = tmp_path / f"{mode}.npz"
        assert genjax("sample", run, "--num", "12", "--mode", mode, "--out", file) == 0
        assert np.load(file, allow_pickle=False)["image"].shape == (12, 8, 8, 1)
    assert genjax("sample", run, "--num", "6", "--out", tmp_path / "six") == 0
    with np.load(tmp_path / "prior.npz", allow_pickle=False) as archive:  # in ADM's layout
        assert archive["arr_0"].dtype == np.uint8 and archive["arr_1"].tolist() == [*range(10), 0, 1]
        pictures = [np.asarray(Image.open(file)) for file in sorted((tmp_path / "six").iterdir())]
        assert len(pictures) == 6 and np.array_equal(pictures, archive["arr_0"][:6, ..., 0])
    assert genjax("sample", run, "--num", "6", "--out", tmp_path / "six") == 1
    assert "is not empty" in capsys.readouterr().err
    first, again, other = (tmp_path / f"{name}.npz" for name in "abc")
    for file, seed in ((first, 1), (again, 1), (other, 2)):
        assert genjax("sample", run, "--num", "5", "--seed", seed, "--out", file) == 0
    assert np.array_equal(np.load(first)["image"], np.load(again)["image"])
    assert not np.array_equal(np.load(first)["image"], np.load(other)["image"])
    capsys.readouterr()
    for name in ("sample-0.png", "sample-0-2.png"):  # a second draw leaves the first
        assert genjax("sample", run) == 0
        assert Path(file := capsys.readouterr().out.splitlines()[-1]).name == name and Image.open(file).size[0] >= 400


def test_a_restored_run_samples_as_the_command_does(run, tmp_path):
    restored = suite.restore(run)
    assert genjax("sample", run, "--num", "5", "--seed", "2", "--label", "3", "--out", tmp_path / "five.npz") == 0
    assert np.array_equal(
        restored.sample(5, seed=2, label=(3,))["image"], np.load(tmp_path / "five.npz", allow_pickle=False)["image"]
    )
    with pytest.raises(UsageError, match="VAE has no option guidance: it has label, mode, temperature"):
        restored.sample(guidance=3)
    with pytest.raises(UsageError, match="made from `image` of the data: draw them with `genjax sample`"):
        restored.sample(mode="reconstruct")
    assert np.array_equal(restored.sample(4, label=3)["image"], restored.sample(4, label=[3])["image"])
    assert np.array_equal(suite.restore(run, checkpoint=2).sample(1)["image"], restored.sample(1)["image"])
    with pytest.raises(UsageError, match="ema='false': take True, False or a sigma_rel"):
        suite.restore(run, ema="false")


def test_a_run_is_resumed_by_its_folder_and_another_started_like_it(run, tmp_path, capsys):
    more, like = tmp_path / "more", tmp_path / "like"
    shutil.copytree(run, more)
    assert genjax("train", more, "--train.steps", "3") == 0
    assert "at step 2" in capsys.readouterr().err and (more / "checkpoints" / "3").is_dir()
    assert genjax("train", "--from", run) == 2 and "--out DIR" in capsys.readouterr().err
    assert genjax("train", "--from", run, "--out", like, "--optim.learning-rate", "0.5") == 0
    assert suite.load_experiment(like).optim.learning_rate == 0.5
    old, new = (json.loads((folder / "config.json").read_text()) for folder in (run, like))
    assert new | {"optim": None} == old | {"optim": None}


def test_eval_prints_metrics_with_their_count(run, capsys):
    assert genjax("eval", run, "--metrics", "swd", "--iwae-samples", "3", "--eval.examples", "24") == 0
    rows = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:])
    assert set(rows) == {"elbo", "kl", "reconstruction", "nll_iwae3", "count", "swd297"} and rows["count"] == "24"


def test_eval_compares_by_features_and_compare_shows_runs(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    argv = "--metrics fd kid is pr dc swd auth --samples 40 --seeds 2 --iwae-samples 1 --eval.examples 24".split()
    assert genjax("eval", run, *argv, "--temperature", "0.9") == 0
    first, heads, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith("samples by temperature 0.9") and heads.split("  ")[-1] == "real images"
    assert all(word in heads for word in ("mean of 2", "best of 2", "95% interval"))
    rows = {line.split()[0]: line for line in lines if "/" not in line}
    names = ("fd", "kid", "is", "precision", "recall", "density", "coverage", "authenticity")
    assert {f"{name}40_digits" for name in names} | {"swd40"} <= set(rows)
    assert all("[" in rows[f"{name}40_digits"] for name in names)
    kept = json.loads((run / "evaluation" / "results.json").read_text())
    fd = kept["fd40_digits"]
    assert fd["step"] == 2 and fd["best"] == min(fd["seeds"]) and fd["how"] == "temperature 0.9" and fd["floor"] > 0
    assert kept["elbo"]["how"] == "" and kept["elbo"]["floor"] is None
    page = (run / "report.html").read_text()
    assert "Nearest training images" in page and "arXiv:1706.08500, equation 6" in page and "fd40_digits" in page
    assert genjax("eval", run, "--metrics", "swd", "--label", "3") == 2
    assert "--label: samples that are measured have the labels" in capsys.readouterr().err
    assert genjax("eval", run, "--metrics", "fid", "--features", "digits") == 2
    assert "fid is the Fréchet distance over Inception's features" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert genjax("compare", run, copy, "--out", tmp_path / "page.html") == 0
    assert "copy" in (tmp_path / "page.html").read_text()


def test_weights_are_exported_to_a_new_folder_and_not_to_a_file_in_the_way(run, tmp_path, capsys):
    assert genjax("export", run, "--out", tmp_path / "new" / "w.safetensors") == 0
    (tmp_path / "file").write_text("")
    assert genjax("export", run, "--out", tmp_path / "file" / "w.safetensors") == 1
    assert "cannot write to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["export", "--out", "."], "--out .: weights are a file .safetensors"),
        (["sample", "--best-of", "5"], "--best-of 5: --rerank RUN says whose score is the best"),
        (["sample", "--recipe=/no/such.py"], "recipe file '/no/such.py' does not exist"),
    ],
)
def test_options_of_a_run_that_mean_nothing_are_refused(run, argv, words, capsys):
    assert genjax(argv[0], run, *argv[1:]) == 2
    assert words in capsys.readouterr().err


WIDTHS = "--model.network.generator-width 8 --model.network.discriminator-width 8".split()


def test_inspect_needs_no_data(capsys):
    assert genjax("inspect", "dcgan_celeba64", *WIDTHS) == 0
    assert "generator:" in capsys.readouterr().out


def test_inspect_lists_parameters_and_flops(capsys):
    assert genjax("inspect", "gpt_pydoc", "--mesh.fsdp", "4", "--mesh.tensor", "2") == 0
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith("decoder/blocks/mlp/up/kernel"))
    assert "(4, 128, 512)" in row and "fsdp, tensor" in row and "131,072" in row
    assert "FLOPs a device" in text and "bytes a device: parameters" in text


def test_text_is_sampled_with_prompts(tmp_path, capsys):
    run = tmp_path / "run"
    tiny = "--train.steps 2 --data.batch-size 8 --eval.examples 8 --eval.grid 2 --model.layers 1 --model.heads 2"
    tiny = tiny.split()
    assert genjax("train", "gpt_pydoc", "--out", run, *tiny, "--model.width", "16", "--data.context", "16") == 0
    file = tmp_path / "out.txt"
    argv = ["sample", run, "--num", "3", "--prompt", "def ", "class", "--max-new-tokens", "40", "--top-k", "5"]
    assert genjax(*argv, "--out", file) == 0
    texts = file.read_text()
    assert texts.count("def ") >= 2 and "class" in texts
    assert "──── 1 of 3" in capsys.readouterr().out  # what was written is read at once
    assert genjax(*argv, "--out", "-") == 0
    assert capsys.readouterr().out.split() == texts.split() and not Path("-").exists()
    assert genjax("sample", run, "--num", "1", "--stream", "--out", file) == 2
    assert "--stream shows a text as it is drawn, and writes none" in capsys.readouterr().err
    restored = suite.restore(run)
    drawn = restored.texts(restored.sample(2, prompt=("def ", "class"), max_new_tokens=4))
    assert drawn[0].startswith("def ") and drawn[1].startswith("class")
    assert restored.texts(restored.sample(2, prompt="def ", max_new_tokens=4))[1].startswith("def ")  # one text
    capsys.readouterr()
    assert genjax("eval", run) == 0
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert {"loss", "perplexity", "bits_per_byte", "accuracy", "count"} <= set(rows) and rows["count"] == "128"


RECIPE = '''"""Mine."""
import dataclasses
import genjax
from genjax import models
from genjax.experiment import Data, Train

@models.register
@dataclasses.dataclass(frozen=True, kw_only=True)
class MyVAE(models.VAE):
    extra: int = 3

experiment = genjax.Experiment(model=MyVAE(), data=Data(), train=Train(steps=2))
'''


def test_a_recipe_file_with_a_system_of_its_own(tmp_path, capsys, monkeypatch):
    before = dict(KINDS)
    recipe, out = tmp_path / "mine.py", tmp_path / "run"
    recipe.write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    assert genjax("train", "mine.py", "--out", out, *TINY, "--model.extra", "5") == 0
    monkeypatch.chdir("/")
    assert genjax("sample", out, "--num", "4") == 0  # this process has registered it
    config = json.loads((out / "config.json").read_text())
    assert config["recipe"] == str(recipe) and config["model"]["extra"] == 5
    capsys.readouterr()
    KINDS.pop("MyVAE")
    assert genjax("sample", out) == 1
    assert "'MyVAE', which is not registered" in (line := capsys.readouterr().err) and str(recipe) in line
    code = "import genjax; print(type(genjax.restore({!r})[0]).__name__)"
    for command in (
        ["-m", "genjax.cli", "sample", str(out), "--num", "4", f"--recipe={out / 'recipe.py'}"],
        ["-c", f"import genjax; genjax.load_experiment({str(recipe)!r}); " + code.format(str(out))],
    ):
        shown = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "MyVAE"
    KINDS.update(before)


def test_data_that_has_moved_is_named(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", image=images)
    np.savez(tmp_path / "other.npz", image=images.repeat(2, axis=1))
    argv = ["train", "vae_digits", "--data.path", tmp_path / "a.npz", "--out", tmp_path / "run", *TINY]
    assert genjax(*argv) == 0
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert genjax("eval", tmp_path / "run") == 1
    assert genjax("eval", tmp_path / "run", "--data.path", tmp_path / "b.npz") == 0
    capsys.readouterr()
    assert genjax("eval", tmp_path / "run", "--data.path", tmp_path / "other.npz") == 1
    assert "not what the run was trained on" in capsys.readouterr().err


def test_an_unreadable_image_is_named(tmp_path, capsys):
    for number in range(24):
        folder = tmp_path / "photos" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos" / "class0" / "broken.png").write_bytes(b"not an image")
    argv = ["train", "vae_digits", "--data.path", tmp_path / "photos", "--data.image-size", "8", *TINY]
    assert genjax(*argv, "--train.steps", "6", "--out", tmp_path / "a") == 0
    assert "skipped 1 unreadable file" in capsys.readouterr().err
    assert genjax(*argv, "--train.steps", "6", "--out", tmp_path / "b", "--data.strict", "True") == 1
    assert "broken.png" in capsys.readouterr().err.strip().splitlines()[-1]
    (tmp_path / "empty").mkdir()
    assert genjax("train", "vae_digits", "--data.path", tmp_path / "empty", "--out", tmp_path / "c") == 1
    assert str(tmp_path / "empty") in capsys.readouterr().err
