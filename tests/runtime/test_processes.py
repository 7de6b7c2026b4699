"""Several processes on this machine: trained, killed, and resumed by other numbers of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.experiment import Mesh
from genjax.runs.metrics import read_metrics
from genjax.runs.restore import open_run
from genjax.runtime import distributed

STEPS = 12
TINY = (
    f"--train.steps {STEPS} --train.log-every 1 --train.checkpoint-every 4 --train.eval-every 0 --train.sample-every 0 "
    "--data.batch-size 8 --data.context 16 --model.layers 2 --model.heads 2 --model.width 32 --eval.examples 16 "
    "--eval.grid 4 --train.precision float32"
).split()


def launch(
    out: Path,
    processes: int,
    devices: int,
    *flags: str,
    own: Mapping[int, list[str]] = {},
    folders: Mapping[int, Path] = {},
) -> list[subprocess.Popen]:
    """`processes` processes of `devices` simulated devices each, with collectives over the loopback.

    `own` has further flags of single processes, by number, `folders` the folder that one is started in.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "genjax.cli", "train", "gpt_pydoc", "--out", str(out), *TINY, *flags]
    join = [f"--mesh.coordinator=127.0.0.1:{port}", f"--mesh.num-processes={processes}"]
    started = []
    for number in range(processes):
        mine = [*join, f"--mesh.process-id={number}"] if processes > 1 else []
        mine += own.get(number, [])
        folder = folders.get(number)
        started.append(
            subprocess.Popen([*command, *mine], env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)
        )
    return started


def finish(processes: list[subprocess.Popen], seconds: int = 240) -> list[tuple[int, str]]:
    """(exit status, what was said) of each."""
    ended = [(p.communicate(timeout=seconds)[1], p.returncode) for p in processes]
    return [(status, said) for said, status in ended]


def losses(run: Path) -> np.ndarray:
    return np.array([record["next_token/loss"] for record in read_metrics(run) if "next_token/loss" in record])


def wait_for_step(run: Path, step: int, processes: list[subprocess.Popen]) -> None:
    while not (run / "checkpoints" / str(step)).exists():
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.05)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> np.ndarray:
    """The losses of one process that is never interrupted."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    [(status, said)] = finish(launch(run, 1, 1))
    assert status == 0, said
    return losses(run)


@pytest.mark.slow
def test_two_processes_are_killed_and_resume_as_four_and_as_one(unbroken, tmp_path):
    run = tmp_path / "run"
    processes = launch(run, 2, 2, "--mesh.fsdp", "2")
    wait_for_step(run, 4, processes)
    for process in processes:
        process.kill()
    finish(processes)
    seen = int(open_run(run).state.step)
    assert 4 <= seen < STEPS

    processes = launch(run, 4, 1)
    wait_for_step(run, 8, processes)
    for process in processes:
        process.kill()
    finish(processes)

    [(status, said)] = finish(launch(run, 1, 1))
    assert status == 0 and "resuming" in said, said
    np.testing.assert_allclose(losses(run), unbroken, rtol=1e-5)
    assert len(unbroken) == STEPS


@pytest.mark.slow
def test_two_processes_train_to_the_end_and_only_the_first_writes(unbroken, tmp_path):
    run = tmp_path / "run"
    for status, said in finish(launch(run, 2, 2, "--mesh.tensor", "2")):
        assert status == 0, said
    np.testing.assert_allclose(losses(run), unbroken, rtol=1e-5)
    assert (run / "report.html").exists() and list((run / "samples").glob("*.txt"))


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_with_an_error_in_bounded_time(tmp_path):
    run = tmp_path / "run"
    processes = launch(run, 2, 1, "--train.steps", "100000")
    wait_for_step(run, 4, processes)
    processes[1].kill()
    begin = time.monotonic()
    status, _ = finish(processes, 2 * distributed.HEARTBEAT_SECONDS)[0]
    assert status not in (0, None) and time.monotonic() - begin < 2 * distributed.HEARTBEAT_SECONDS
    assert int(open_run(run).state.step) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_call", ["1", "4"])
def test_sigterm_on_one_host_saves_on_all_at_one_step(steps_per_call, tmp_path):
    run = tmp_path / "run"
    endless = ["--train.steps", "100000", "--train.checkpoint-every", "0", "--train.steps-per-call", steps_per_call]
    processes = launch(run, 2, 1, *endless)
    while not (run / "metrics.jsonl").exists() or len(losses(run)) < 5:
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.1)
    processes[1].terminate()
    for status, said in finish(processes):
        assert status == 1 and "saved: the same command resumes" in said, said
    assert int(open_run(run).state.step) >= 5


@pytest.mark.slow
def test_one_ctrl_c_saves_on_all_and_stops(tmp_path):
    run = tmp_path / "run"
    processes = launch(run, 2, 1, "--train.steps", "100000", "--train.checkpoint-every", "0")
    while not (run / "metrics.jsonl").exists() or len(losses(run)) < 5:
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.1)
    processes[0].send_signal(signal.SIGINT)
    for status, said in finish(processes):
        assert status == 1 and "saved: the same command resumes" in said and "Traceback" not in said, said
    assert int(open_run(run).state.step) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, status, words",
    [
        (
            ["--optim.learning-rate", "0.5"],
            2,
            "were started with different settings: process 0 with optim.learning_rate",
        ),
        (["--data.batch-size", "9"], 2, "were started with different settings: process 0 with data.batch_size: 8"),
        (["--optim.weight-decay", "nan"], 2, "weight-decay nan"),
    ],
)
def test_processes_that_do_not_agree_end_at_once_with_one_line(tmp_path, flags, status, words):
    begin = time.monotonic()
    ended = finish(launch(tmp_path / "run", 2, 1, own={1: flags}), 100)
    assert time.monotonic() - begin < 60
    for found, said in ended:
        assert found == status and words in said.splitlines()[-1] and "Traceback" not in said, said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_process_without_data_ends_all_with_one_line(tmp_path):
    """The path means something to the first process only."""
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    (tmp_path / "with" / "text.txt").write_text("To be, or not to be. " * 400)
    folders = {0: tmp_path / "with", 1: tmp_path / "without"}
    for status, said in finish(launch(tmp_path / "run", 2, 1, "--data.path", "text.txt", folders=folders), 100):
        assert status == 1 and "text.txt" in said.splitlines()[-1] and "Traceback" not in said, said


@pytest.mark.parametrize(
    "environ, launcher",
    [
        ({}, None),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        ({"SLURM_NTASKS": "16", "SLURM_PROCID": "3"}, "SLURM"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "Open MPI"),
        ({"OMPI_COMM_WORLD_SIZE": ""}, None),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "t1,t2"}, "Cloud TPU"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, "Kubernetes"),
        ({"JAX_COORDINATOR_ADDRESS": "host:1234"}, "JAX_COORDINATOR_ADDRESS"),
    ],
)
def test_the_launcher_is_told_from_the_environment(environ, launcher):
    assert distributed.cluster(environ) == launcher


@pytest.mark.parametrize("name", ["SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"])
@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "²", "9" * 5000])
def test_numbers_of_the_environment_are_checked(name, value):
    with pytest.raises(UserError, match=f"{name}={value[:9]}.* must be a whole number"):
        distributed.cluster({name: value, "SLURM_PROCID": "0"})


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(UserError, match="go together"):
        distributed.initialize(Mesh(coordinator="127.0.0.1:1"), {})
    with pytest.raises(UserError, match="JAX_PROCESS_ID=one in the environment: must be a whole"):
        distributed.initialize(
            Mesh(), {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "one"}
        )
    assert jax.process_count() == 1
