"""plans.py: what is planned is kept, and the table made from it; a plan that fails is one line and no end."""

import json
import subprocess
from pathlib import Path

import plans
import pytest

PLAN = {
    "topology": "v5e:2x2",
    "mesh": {"data": 4, "fsdp": 1, "tensor": 1},
    "batch_size": 64,
    "grad_accumulation": 1,
    "fits": True,
    "memory_bytes": {"total": 3 * 2**30},
    "hbm_bytes": 16 * 2**30,
    "roofline_ms": {"compute": 1.0, "hbm": 2.5, "collectives": 0.1},
    "estimated_step_ms": 2.5,
    "estimated_mfu": 0.25,
    "compile_seconds": 61.7,
}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "KEPT", tmp_path / "plans.json")
    monkeypatch.setattr(plans, "TABLE", tmp_path / "PLANS.md")
    return tmp_path


def test_plans_are_kept_and_put_into_the_table(kept, monkeypatch, capsys):
    def run(command):
        if "unknown" in command:
            return subprocess.CompletedProcess(command, 2)
        Path(command[command.index("--json") + 1]).write_text(json.dumps(PLAN))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(plans.subprocess, "run", run)
    # A machine that only runs the tests has no libtpu.
    monkeypatch.setattr(plans.importlib.metadata, "version", lambda name: "0")
    plans.add(["unknown@v5e:2x2", "vae_digits@v5e:2x2  --data.batch-size 64"])
    assert "unknown@v5e:2x2: not planned" in capsys.readouterr().err
    name = "vae_digits@v5e:2x2 --data.batch-size 64"
    assert json.loads((kept / "plans.json").read_text()).keys() == {name}
    row = (kept / "PLANS.md").read_text().splitlines()[-1]
    assert row.startswith(
        "| `vae_digits` `--data.batch-size 64` | v5e:2x2 | 4 x 1 x 1 | 64 / 1 | 3.00 GiB of 16: fits |"
    )
    assert "| 2.5 ms (hbm) | 25.0% | 62 s |" in row


def test_a_recipe_without_a_topology_is_refused(kept):
    with pytest.raises(SystemExit, match="dcgan_cifar10@v5e:2x2"):
        plans.add(["vae_digits"])
