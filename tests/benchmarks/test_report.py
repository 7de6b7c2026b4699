"""Records are kept, read and refused; the report marks what became slower, on the same hardware only."""

import json

import pytest
import records
import report

from genjax.errors import UserError

HERE = {"cpu": "Imaginary 9000", "cores": 2, "memory_gib": 23, "accelerator": None}
THERE = {**HERE, "accelerator": "1 x NVIDIA H200"}


def recipe(ms: float) -> dict:
    return {
        "step_ms": {"median": ms, "p10": ms, "p90": ms},
        "batch_size": 64,
        "examples_per_second": 64e3 / ms,
        "tokens_per_second": None,
        "compile_seconds": 1.0,
        **records.provenance(["benchmarks/run.py", "--recipes", "vae_digits"], 0.1, None),
    }


def peer(ratio: float) -> dict:
    return {
        "unit": "images",
        "ours_per_second": 100 * ratio,
        "theirs_per_second": 100.0,
        "theirs": "PyTorch",
        "ratio": ratio,
        "ratio_min": ratio - 0.1,
        "ratio_max": ratio + 0.1,
        "shapes": "28x28x1, batch 128, float32",
        **records.provenance(["benchmarks/run.py", "--peers", "vae"], 0.1, 0.0),
    }


def entries(**parts) -> str:
    return json.dumps({"format": 1, "date": "2026-01-01", "hardware": HERE, "recipes": {}, "peers": {}} | parts)


def test_a_record_is_read_as_written_and_a_later_run_of_the_day_adds_to_it(tmp_path):
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(2.0)}, "2026-01-01")
    path = records.write(tmp_path, HERE, "peers", {"vae": peer(1.5)}, "2026-01-01")
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(3.0), "gan_digits": recipe(4.0)}, "2026-01-01")
    assert path.name == "2026-01-01-imaginary-9000-2-cores-23-gib.json"
    (record,) = records.read(tmp_path)
    assert {name: entry["step_ms"]["median"] for name, entry in record["recipes"].items()} == {
        "vae_digits": 3.0,
        "gan_digits": 4.0,
    }
    assert record["peers"]["vae"]["ratio"] == 1.5


def test_an_entry_says_what_it_must_be_quoted_with():
    entry = recipe(1.0)
    assert {"commit", "command", "versions", "load", "others"} <= entry.keys()
    assert entry["command"] == "python benchmarks/run.py --recipes vae_digits"
    assert entry["versions"]["jax"] and entry["versions"]["python"]
    assert records.hardware().keys() == HERE.keys()


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "not a benchmark record"),
        ("[]", "not a benchmark record"),
        ('{"format": 2}', "of format 2"),
        ('{"format": 1, "date": "2026-01-01"}', "not a benchmark record"),
        (json.dumps({"format": 1, "date": "soon", "hardware": HERE, "recipes": {}, "peers": {}}), "not a benchmark"),
        (entries(recipes={"vae_digits": {}}), "vae_digits has no step_ms, batch_size"),
        (
            entries(recipes={"vae_digits": {**recipe(1.0), "step_ms": {"median": 1.0}}}),
            r"no step_ms\.p10, step_ms\.p90",
        ),
        (entries(peers={"vae": {k: v for k, v in peer(1.0).items() if k != "ratio"}}), "vae has no ratio"),
        (entries(peers={"vae": None}), "not a benchmark record"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, reason):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(UserError, match=rf"broken\.json: .*{reason}"):
        records.read(tmp_path)


def test_a_missing_folder_is_one_line(tmp_path, capsys):
    assert report.main(["--records", str(tmp_path / "none")]) == 1
    assert "no folder of records" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text(entries(peers={"vae": {}}))
    assert report.main(["--records", str(tmp_path)]) == 1
    assert "broken.json" in capsys.readouterr().err


@pytest.mark.parametrize("before, after, marked", [(10.0, 11.4, False), (10.0, 11.6, True), (10.0, 5.0, False)])
def test_slower_steps_are_marked(tmp_path, before, after, marked):
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(before)}, "2026-01-01")
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(after)}, "2026-01-02")
    found = records.read(tmp_path)
    assert len(report.regressions(found)) == marked
    assert (report.MARK in report.page(found)) == marked


@pytest.mark.parametrize("change", [{"batch_size": 128}, {"precision": "bfloat16"}, {"mesh": {"data": 2}}])
def test_other_sizes_are_another_measurement(tmp_path, change):
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(10.0)}, "2026-01-01")
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(20.0) | change}, "2026-01-02")
    assert not report.regressions(records.read(tmp_path))
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(12.0)}, "2026-01-03")
    (line,) = report.regressions(records.read(tmp_path))
    assert "+20%" in line  # against the last one like it


def test_each_precision_has_its_entry():
    assert records.key("vae", peer(1.0)) == records.key("vae", {**peer(1.0), "precision": "float32"}) == "vae"
    assert records.key("vae", {**peer(1.0), "precision": "bfloat16"}) == "vae/bfloat16"


@pytest.mark.parametrize(
    "load, others, busy", [(3.0, None, True), (0.1, None, False), (3.0, 0.01, False), (0, 0.9, True)]
)
def test_what_others_use_says_better_than_the_load_whether_the_machine_is_busy(load, others, busy):
    assert records.busy({"load": load, "others": others}) == busy


def test_a_write_that_fails_leaves_the_record_as_it_was(tmp_path):
    path = records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(10.0)}, "2026-01-01")
    with pytest.raises(TypeError):
        records.write(tmp_path, HERE, "recipes", {"gan_digits": {"step_ms": object()}}, "2026-01-01")
    assert list(tmp_path.iterdir()) == [path] and records.read(tmp_path)[0]["recipes"].keys() == {"vae_digits"}


@pytest.mark.parametrize("before, after, marked", [(1.2, 1.1, False), (1.2, 1.0, True), (1.0, 1.4, False)])
def test_lower_ratios_are_marked(tmp_path, before, after, marked):
    records.write(tmp_path, HERE, "peers", {"vae": peer(before)}, "2026-01-01")
    records.write(tmp_path, HERE, "peers", {"vae": peer(after)}, "2026-01-02")
    assert len(report.regressions(records.read(tmp_path))) == marked


def test_the_last_record_of_the_same_hardware_and_recipe_counts(tmp_path):
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(10.0)}, "2026-01-01")
    records.write(tmp_path, THERE, "recipes", {"vae_digits": recipe(1.0)}, "2026-01-02")
    records.write(tmp_path, HERE, "recipes", {"gan_digits": recipe(1.0)}, "2026-01-03")
    records.write(tmp_path, HERE, "recipes", {"vae_digits": recipe(10.1)}, "2026-01-04")
    found = records.read(tmp_path)
    assert not report.regressions(found)
    assert report.change(found, records.label(HERE), "recipes", "vae_digits") == pytest.approx(0.01)
    assert report.change(found, records.label(THERE), "recipes", "vae_digits") is None


def test_report_writes_the_page_and_a_plot_for_each_machine(tmp_path, capsys):
    for day, ms, ratio in ((1, 10.0, 1.2), (2, 20.0, 0.9)):
        for machine in (HERE, THERE):
            records.write(tmp_path / "records", machine, "recipes", {"vae_digits": recipe(ms)}, f"2026-01-0{day}")
        records.write(tmp_path / "records", HERE, "peers", {"vae": peer(ratio)}, f"2026-01-0{day}")
    assert report.main(["--records", str(tmp_path / "records"), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "NORMAL.md").read_text()
    assert page.count("## ") == 2 and "**0.90** (0.80 to 1.00)" in page and "+100% time" in page
    plots = [file.name for file in tmp_path.glob("*.png")]
    assert len(plots) == 2 and all(f"]({name})" in page for name in plots)
    assert capsys.readouterr().out.count(report.MARK) == 3 + 3  # in the page, and one line each
