"""The script for SLURM, with stubs of SLURM's commands in its PATH."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "launch" / "slurm.sbatch"
TRAINS = 'trap "echo saved >> $LOG; exit 1" TERM; echo "$*" >> "$LOG"; for _ in $(seq 200); do sleep 0.05; done'


def start(folder: Path, srun: str) -> subprocess.Popen:
    """The script, with `srun` for SLURM's; what the stubs do stands in folder/log."""
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "activate").touch()
    for name, body in {"srun": srun, "scontrol": 'echo "scontrol $*" >> "$LOG"'}.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    own = {"SLURM_SUBMIT_DIR": f"{folder}", "SLURM_JOB_ID": "77", "SCRATCH": f"{folder}", "LOG": f"{folder}/log"}
    return subprocess.Popen(["bash", SCRIPT], env=os.environ | own | {"PATH": f"{folder}:{os.environ['PATH']}"})


def test_at_the_time_limit_the_job_is_saved_and_then_requeued(tmp_path):
    job = start(tmp_path, TRAINS)
    log = tmp_path / "log"
    for _ in range(200):
        if log.exists() and "genjax train" in log.read_text():
            break
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 0
    assert log.read_text().splitlines()[1:] == ["saved", "scontrol requeue 77"]


@pytest.mark.parametrize("status", [0, 3])
def test_a_training_that_ends_is_not_requeued(tmp_path, status):
    assert start(tmp_path, f"exit {status}").wait(20) == status
    assert not (tmp_path / "log").exists()
