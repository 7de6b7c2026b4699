"""The sound files that are attacked: two small runs, and data of every kind."""

import contextlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from genjax import cli

__all__ = ["SIX_STEPS", "SIZES", "TRAIN_TEXT", "TRAIN_VAE", "call", "make"]

SIZES = (
    "--train.steps 2 --data.batch-size 2 --eval.examples 2 --eval.grid 2 --eval.set-size 2 --train.checkpoint-every 1 "
    "--train.keep 2"
).split()
VAE = "--model.network DenseAutoencoder --model.network.widths 4 --model.latent 2".split()
GPT = "--model.layers 1 --model.heads 1 --model.width 8 --data.context 8".split()
TRAIN_VAE = ["train", "vae_digits", *SIZES, *VAE]
SIX_STEPS = [*TRAIN_VAE, "--train.steps", "6", "--train.eval-every", "2", "--train.sample-every", "3"]
TRAIN_TEXT = ["train", "gpt_pydoc", *SIZES, *GPT]
TEXT = "the quick brown fox jumps over the lazy dog, and a cat sleeps.\n" * 30

RECIPE = '''"""A recipe that is attacked."""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VAE, DenseAutoencoder

experiment = Experiment(
    model=VAE(network=DenseAutoencoder(widths=(4,)), latent=2, likelihood="bernoulli", beta=1.0),
    data=Data(source="digits", batch_size=2),
    optim=Optim(name="adam", learning_rate=1e-3),
    train=Train(steps=2, seed=0),
    eval=Eval(examples=2, grid=2, set_size=2),
)
'''


def call(*argv: str | Path) -> tuple[int, str]:
    """(exit status, all that was printed) of a command in this process. What is no SystemExit comes through."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main([str(arg) for arg in argv])
        except SystemExit as exit:
            return exit.code, said.getvalue()
    raise AssertionError("a command has returned without a status")


def make(folder: Path) -> Path:
    """Fills the folder; one that was filled before is taken as it is. Renamed when it is complete."""
    if folder.exists():
        return folder
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "text.txt").write_text(TEXT)
    (partial / "recipe.py").write_text(RECIPE)
    _data(partial)
    for argv in (
        [*TRAIN_VAE, "--out", partial / "vae"],
        [*SIX_STEPS, "--out", partial / "six"],
        [*TRAIN_TEXT, "--data.path", partial / "text.txt", "--data.tokenizer", "bpe:270", "--out", partial / "text"],
        ["corpus", partial / "text.txt", "--out", partial / "corpus", "--tokenizer", "bpe:270", "--validation", "0.2"],
    ):
        status, said = call(*argv)
        assert status == 0, said
    partial.rename(folder)
    return folder


def _data(folder: Path) -> None:
    random = np.random.default_rng(0)
    image = random.random((12, 8, 8, 1)).astype(np.float32)
    label, tokens = np.arange(12) % 3, random.integers(0, 20, (12, 9))
    np.savez(folder / "image.npz", image=image, label=label)
    np.savez(folder / "tokens.npz", tokens=tokens, tokens_length=np.full(12, 5), label=label.astype("S3"))
    latent = random.random((6, 2, 2, 4)).astype(np.float16)
    shape = {"latent_std": np.float64(1), "image_shape": np.array([8, 8, 1])}
    np.savez(folder / "latent.npz", train_latent=latent, validation_latent=latent[:2], **shape)
    for n in range(8):
        place = folder / "pictures" / "ab"[n % 2]
        place.mkdir(parents=True, exist_ok=True)
        suffix = ("png", "jpg", "gif", "tif", "webp", "bmp")[n % 6]
        Image.fromarray(random.integers(0, 256, (9, 8, 3), np.uint8)).save(place / f"{n}.{suffix}")
    rows = [{"tokens": f"line {n} of text", "label": "ab"[n % 2], "score": n / 2} for n in range(12)]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for suffix, comma in (("tsv", "\t"), ("csv", ",")):
        lines = [["tokens", "label", "score"], *([row["tokens"], row["label"], f"{row['score']}"] for row in rows)]
        (folder / f"table.{suffix}").write_text("".join(comma.join(line) + "\n" for line in lines))
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 100, 100, 3)}
    bomb = zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED)
    with bomb, bomb.open("image.npy", "w") as file:  # 20 kB that become 20 MB, and claim to be more
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(2 * 10**7))
