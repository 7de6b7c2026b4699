"""pods.py: the table holds the plan of each slice on the recipe's own mesh, whatever gave the batch."""

import json

import plans
import pods


def plan(topology: str, batch: int, **fields) -> dict:
    return {
        "recipe": "gpt_7b",
        "topology": topology,
        "num_devices": pods.chips(topology),
        "mesh": {"data": 1, "fsdp": pods.chips(topology), "tensor": 1},
        "batch_size": batch,
        "memory_bytes": {"total": 2**30},
        "hbm_bytes": 95 * 2**30,
        "fits": True,
        "flops_per_device": 2e12,
        "bytes_accessed_per_device": 3e9,
        "collective_bytes_per_device": 4e9,
        "roofline_ms": {"compute": 4.0, "hbm": 3.0, "collectives": 5.0},
    } | fields


def test_slices_are_found_whatever_gave_the_batch(monkeypatch, tmp_path):
    kept = {
        "gpt_7b@v5p:4x4x4": plan("v5p:4x4x4", 1024),
        "gpt_7b@v5p:4x4x4 --mesh.data 64": plan("v5p:4x4x4", 1024, flops_per_device=9e12),
        "gpt_7b@v5p:8x8x8 --data.batch-size 8192": plan("v5p:8x8x8", 8192),
        "gpt_7b@v5p:2x2x4 --data.batch-size 256": plan("v5p:2x2x4", 256, fits=False, roofline_ms=None),
        pods.OTHERS[1]: plan("v5p:8x8x8", 1024),
    }
    (tmp_path / "plans.json").write_text(json.dumps(dict(sorted(kept.items(), reverse=True))))
    monkeypatch.setattr(plans, "KEPT", tmp_path / "plans.json")
    monkeypatch.setattr(pods, "OUT", tmp_path / "pods")
    monkeypatch.setattr("sys.argv", ["pods.py"])
    pods.main()
    table = (tmp_path / "pods" / "pods.md").read_text()
    weak, others = table.split("## Other meshes")
    assert (
        "| `gpt_7b` | v5p:4x4x4 | 64 | 1 x 64 x 1 | 1,024 | 1.0 GiB of 95 | 2 | 3 GB | 4 GB | 4, 3, 5 | collectives |"
        in weak
    )
    assert "| 256 | 1.0 GiB of 95: does not fit | - | - | - | - | - |" in weak
    assert weak.count("`gpt_7b`") == 3 and "| 8,192 |" in weak and others.count("`gpt_7b`") == 1
    assert (tmp_path / "pods" / "pods.png").stat().st_size > 10_000
    asked = pods.missing(kept)
    assert "gpt_7b@v5p:4x8x8 --data.batch-size 4096" in asked and pods.OTHERS[2] in asked
    assert not any(argument.startswith("gpt_7b@v5p:4x4x4") or argument == pods.OTHERS[1] for argument in asked)
