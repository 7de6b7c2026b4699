"""`genjax bench`: what it writes, what it runs, and a command line that starts quickly."""

import dataclasses
import json
import os
import resource
import subprocess
import sys

import jax
import pytest
import systems

from genjax import cli, data
from genjax.bench import limits, loop, timing
from genjax.errors import UsageError, UserError
from genjax.experiment import Data, Experiment
from genjax.models import GAN, GPT, MLPGAN, VAE
from genjax.orders import Buckets
from genjax.runtime import devices, memory_use
from genjax.runtime.compilation import enable_cache

FIELDS = {
    "recipe", "system", "backend", "device_kind", "num_devices", "mesh", "precision", "batch_size", "parameters",
    "compile_seconds", "step_ms", "examples_per_second", "tokens_per_second", "model_flops_per_step",
    "model_flops_per_second", "mfu", "peak_memory_bytes", "data_wait_fraction", "versions",
}  # fmt: skip


def test_bench_of_a_recipe_writes_what_is_promised(tmp_path, capsys, monkeypatch):
    peaks, measure_peak = [], limits.matmul_flops
    monkeypatch.setattr(limits, "matmul_flops", lambda *args: peaks.append(measure_peak(*args)) or peaks[-1])
    file, trace = tmp_path / "bench.json", tmp_path / "trace"
    network = "--model.network DenseAutoencoder --model.network.widths 8"
    options = f"--steps 6 --data.batch-size 16 {network} --eval.examples 16 --eval.grid 4"
    cli.run(["bench", "vae_digits", "--json", str(file), "--trace", str(trace), "--measure-peak", *options.split()])
    result, table = json.loads(file.read_text()), capsys.readouterr().out
    assert result.keys() >= FIELDS
    assert (result["recipe"], result["system"], result["batch_size"]) == ("vae_digits", "VAE", 16)
    assert (result["num_devices"], result["mesh"]) == (8, {"data": 8, "fsdp": 1, "tensor": 1})
    step = result["step_ms"]
    assert 0 < step["p10"] <= step["median"] <= step["p90"]
    assert result["examples_per_second"] > 0 and result["model_flops_per_second"] > 0
    assert result["model_flops_by_entry"].keys() == {"encoder", "decoder"}
    assert result["mfu"] > 0 and "float32" in result["peak_from"]
    assert result["peak_flops_per_second"] == peaks[0] > 0  # of all cores, which the eight devices share
    assert result["peak_memory_bytes"] > 2**20 and "RSS" in result["peak_memory_of"]
    assert result["tokens_per_second"] is None
    assert result["startup_seconds"].keys() == {"import", "build", "compile"}
    assert 0 <= result["programs_from_cache"] <= result["programs"] and result["programs"] >= 1
    assert result["timed_steps"] == 6 and 0 <= result["data_wait_fraction"] <= 1
    shares = result["loop"]["shares"]
    assert shares.keys() == {"steps", "data", "log", "evaluate", "sample", "checkpoint", "report"}
    assert min(shares.values()) >= 0 and sum(shares.values()) == pytest.approx(1)
    assert list(trace.rglob("*.xplane.pb"))
    assert "MFU" in table and "waiting for data" in table
    assert "other programs slow" in timing.describe(result | {"load": 2.5})
    assert "other programs slow" not in timing.describe(result | {"load": 0.5})


def test_turns_at_intervals_are_timed_by_whole_periods():
    model = GAN(network=MLPGAN(8, 8, discriminator_norm="none"), latent=8, r1_gamma=1.0, r1_every=2)
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
    assert result["tokens_per_second"] > result["examples_per_second"] > 0
    assert result["parameters"] > 0 and result["backend"] == "jit"


def test_of_buckets_steps_of_the_longest_texts_are_timed(tmp_path):
    (tmp_path / "pairs.tsv").write_text("".join(f"{'ab' * (1 + n % 9)}\t{'ba' * (1 + n % 7)}\n" for n in range(64)))
    data = Data(path=f"{tmp_path}/pairs.tsv", fields=("source=0:text", "target=1:text"), context=20, batch_size=8)
    data = dataclasses.replace(data, order=Buckets((8, 20), tokens=320))
    result = timing.measure("tiny", dataclasses.replace(systems.TINY["translation"], data=data), steps=2)
    assert result["batch_size"] == 16 and result["synthetic_data"] and result["loop"]
    assert result["tokens_per_second"] == pytest.approx(result["examples_per_second"] * 40)


def test_shapes_that_no_one_knows_are_asked_for():
    with pytest.raises(UserError, match=r"--model\.image-shape"):
        timing.measure("tiny", Experiment(VAE(), Data(path="nowhere.npz")), synthetic=True)
    with pytest.raises(UsageError, match="--steps 0"):
        timing.measure("tiny", systems.TINY["vae"], steps=0)


@pytest.mark.parametrize("field, value", [("steps", 0), ("eval_every", -5), ("log_every", 0)])
def test_what_training_refuses_is_refused_here_too(field, value):
    train = dataclasses.replace(systems.TINY["vae"].train, **{field: value})
    with pytest.raises(UsageError, match=rf"--train\.{field.replace('_', '-')} {value}"):
        timing.measure("tiny", dataclasses.replace(systems.TINY["vae"], train=train), steps=1)


def test_too_little_memory_is_one_line(monkeypatch):
    def init(engine):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nMore.")

    monkeypatch.setattr(loop.TimedEngine, "init", init)
    with pytest.raises(UserError, match=r"out of device memory .*9 bytes.*: try a smaller --data\.batch-size"):
        timing.measure("tiny", systems.TINY["vae-conditional"], steps=1)


def test_a_folder_that_can_hold_no_trace_is_told_before_anything_is_measured(tmp_path):
    (tmp_path / "file").touch()
    for trace in (tmp_path / "file", tmp_path / "file" / "trace"):
        with pytest.raises(UserError, match="cannot write the trace to"):
            timing.measure("tiny", Experiment(VAE(), Data(path="nowhere.npz")), trace=trace)


def test_a_slow_source_shows_in_the_share_of_waiting(monkeypatch):
    tiny = systems.TINY["vae-conditional"]
    experiment = dataclasses.replace(
        tiny,
        data=dataclasses.replace(tiny.data, workers=1),
        train=dataclasses.replace(tiny.train, steps_per_call=2, log_every=1000),
    )
    dataset = data.load(experiment.data)

    def measured(seconds: float) -> dict:
        slow = dataclasses.replace(dataset, train=systems.SlowSource(dataset.train, seconds))
        with monkeypatch.context() as patch:
            patch.setattr(data, "load", lambda _: slow)
            return timing.measure("tiny", experiment, steps=20)

    quick, slow = measured(0.0), measured(0.1)
    assert (slow["steps_per_call"], slow["timed_steps"]) == (2, 20)
    assert slow["data_wait_fraction"] > max(0.5, 1.5 * quick["data_wait_fraction"])
    assert slow["loop"]["shares"]["data"] > quick["loop"]["shares"]["data"]
    # What was read ahead is not taken for speed: a step takes as long as its batch.
    assert slow["loop"]["steps_per_second"] < 1.15 / 0.1


def test_calls_are_those_of_the_loop():
    assert timing._calls((("a",),), 1) == [(("a",),)]
    assert timing._calls((("a",), ("a", "b")), 3) == [(("a",), ("a", "b"), ("a",)), (("a", "b"), ("a",), ("a", "b"))]


def test_compilation_in_a_later_call_is_counted():
    class CompilesTwice(timing._Steps):
        def __init__(self):
            self.left = [5.0, 3.0, 1.0]

        def seconds(self, call):
            if len(self.left) > 1:
                jax.jit(lambda x: x + len(self.left))(1.0)  # a program that is new each time
            return self.left.pop(0)

    timer = CompilesTwice()
    assert timer.warm_up(((),)) == 4.0 + 2.0 and not timer.left


@pytest.mark.parametrize("system, unit", [("darwin", 1), ("linux", 1024)])
def test_memory_is_in_bytes_on_every_system(monkeypatch, system, unit):
    monkeypatch.setattr(memory_use.sys, "platform", system)
    assert memory_use.peak_memory()[0] == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def test_what_is_due_at_several_intervals_and_at_the_end():
    assert loop._times_due((0,), 100) == loop._times_due((500,), 100) == 1
    assert loop._times_due((50,), 100) == 2
    assert loop._times_due((20, 30), 60) == 4  # 20, 30, 40, 60


def test_devices_are_known_by_jaxs_names():
    assert devices.find("NVIDIA H200").flops == devices.find("NVIDIA H100 80GB HBM3").flops == 989e12
    assert devices.find("TPU v5 lite").flops == 197e12
    assert devices.find("cpu") is None


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
