"""`genjax bench`: what it writes, what it runs, and a command line that starts quickly."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import pytest
import systems

from genjax import cli, command_line
from genjax.bench import devices, timing
from genjax.compilation import enable_cache
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, Experiment
from genjax.models import GAN, GPT, VAE

FIELDS = {
    "recipe", "system", "backend", "device_kind", "num_devices", "mesh", "precision", "batch_size", "parameters",
    "compile_seconds", "step_ms", "examples_per_second", "tokens_per_second", "model_flops_per_step",
    "model_flops_per_second", "mfu", "peak_memory_bytes", "data_wait_fraction", "versions",
}  # fmt: skip


def test_bench_of_a_recipe_writes_what_is_promised(tmp_path, capsys):
    file, trace = tmp_path / "bench.json", tmp_path / "trace"
    options = "--steps 6 --data.batch-size 16 --model.network dense --model.widths 8 --eval.examples 16 --eval.grid 4"
    cli.run(["bench", "vae_digits", "--json", str(file), "--trace", str(trace), "--measure-peak", *options.split()])
    result, table = json.loads(file.read_text()), capsys.readouterr().out
    assert result.keys() >= FIELDS
    assert (result["recipe"], result["system"], result["batch_size"]) == ("vae_digits", "VAE", 16)
    assert (result["num_devices"], result["mesh"]) == (8, {"data": 8, "fsdp": 1, "tensor": 1})
    step = result["step_ms"]
    assert 0 < step["p10"] <= step["median"] <= step["p90"]
    assert result["examples_per_second"] == pytest.approx(16e3 / step["median"])
    assert result["model_flops_per_second"] == pytest.approx(result["model_flops_per_step"] * 1e3 / step["median"])
    assert result["mfu"] > 0 and "float32" in result["peak_from"]
    assert result["peak_memory_bytes"] > 2**20 and "RSS" in result["peak_memory_of"]
    assert result["tokens_per_second"] is None
    assert result["startup_seconds"].keys() == {"import", "build", "compile"}
    loop = result["loop"]
    assert loop["steps"] == 6 and 0 <= result["data_wait_fraction"] <= 1
    assert loop["shares"].keys() == {"steps", "data", "log", "evaluate", "sample", "checkpoint"}
    assert sum(loop["shares"].values()) == pytest.approx(1)
    assert list(trace.rglob("*.xplane.pb"))
    assert "MFU" in table and "waiting for data" in table


def test_turns_at_intervals_are_timed_by_whole_periods():
    model = GAN(network="mlp", latent=8, generator_width=8, discriminator_width=8, discriminator_norm="none",
                r1_gamma=1.0, r1_every=2)  # fmt: skip
    experiment = dataclasses.replace(systems.TINY["gan"], model=model)
    result = timing.measure("tiny", experiment, steps=3, synthetic=True)
    assert (result["turn_period"], result["timed_steps"]) == (2, 4)
    assert result["synthetic_data"] and result["data_wait_fraction"] is None
    assert result["mfu"] is None  # of a CPU nothing is known
    json.dumps(result)


def test_text_counts_tokens_and_missing_data_names_the_way_out():
    model = GPT(layers=1, heads=2, width=32, vocabulary=256)
    experiment = dataclasses.replace(
        systems.TINY["gpt"], model=model, data=Data(path="nowhere.txt", tokenizer="byte", context=16, batch_size=16)
    )
    with pytest.raises(UserError, match=r"nowhere.txt.*--synthetic true"):
        timing.measure("tiny", experiment, steps=1)
    result = timing.measure("tiny", experiment, steps=1, synthetic=True)
    assert result["tokens_per_second"] == pytest.approx(16 * result["examples_per_second"])
    assert result["parameters"] > 0 and result["backend"] == "jit"


def test_shapes_that_no_one_knows_are_asked_for():
    with pytest.raises(UserError, match=r"--model\.image-shape"):
        timing.measure("tiny", Experiment(VAE(), Data(path="nowhere.npz")), synthetic=True)
    with pytest.raises(UsageError, match="--steps 0"):
        timing.measure("tiny", systems.TINY["vae"], steps=0)


def test_devices_are_known_by_jaxs_names():
    assert devices.find("NVIDIA H200").flops == devices.find("NVIDIA H100 80GB HBM3").flops == 989e12
    assert devices.find("TPU v5 lite").flops == 197e12
    assert devices.find("cpu") is None


@pytest.mark.parametrize(
    "given, spelled",
    [
        ("--synthetic", "--synthetic True"),
        ("--synthetic true --steps 3", "--synthetic True --steps 3"),
        ("--measure-peak --synthetic False", "--measure-peak True --synthetic False"),
        ("--json true --synthetic", "--json true --synthetic True"),
    ],
)
def test_flags_stand_alone_or_with_a_value(given, spelled):
    assert command_line.spelled_out(given.split(), "--synthetic", "--measure-peak") == spelled.split()


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["bench", "--help"], ["list", "--help"], ["trian"]])
def test_help_and_a_wrong_command_import_no_jax(argv):
    code = f"import sys; from genjax import cli\ntry: cli.main({argv})\nexcept SystemExit: pass\n"
    code += "print([m for m in ('jax', 'numpy', 'tyro', 'flax') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def cache_dir():
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_compilation_cache_is_in_the_users_folder(tmp_path, cache_dir):
    assert enable_cache({"JAX_COMPILATION_CACHE_DIR": "/given"}).as_posix() == "/given"
    assert jax.config.jax_compilation_cache_dir != "/given"  # JAX's own doing
    folder = enable_cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert folder == tmp_path / "genjax" / "jax" and jax.config.jax_compilation_cache_dir == str(folder)


def test_where_no_cache_can_be_written_there_is_none(tmp_path, cache_dir):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    assert enable_cache({"XDG_CACHE_HOME": str(tmp_path / "file")}) is None
    if os.getuid():  # root writes anywhere
        (tmp_path / "locked" / "genjax" / "jax").mkdir(parents=True)
        (tmp_path / "locked" / "genjax" / "jax").chmod(0o500)
        assert enable_cache({"XDG_CACHE_HOME": str(tmp_path / "locked")}) is None
    assert jax.config.jax_compilation_cache_dir == before
