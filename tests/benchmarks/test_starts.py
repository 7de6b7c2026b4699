"""starts.py: only recipes that need nothing are started, and one that does not reach a step has no number."""

import os
import stat
import sys
import time

import pytest
import starts


def test_embedded_recipes_have_neither_files_nor_the_network():
    names = starts.embedded()
    assert {"vae_digits", "translate_phrases", "hmm_earthquakes"} <= set(names)
    assert not {"vae_images", "dcgan_cifar10", "transformer_base_wmt16", "translate_en_de"} & set(names)


def test_cpu_seconds_are_those_of_the_process_and_of_its_ended_children():
    assert starts.cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:4]), abs=0.5)


@pytest.mark.parametrize("says, started", [("compiling\nstep 1/1000  loss 3", True), ("genjax: no such recipe", False)])
def test_a_start_ends_with_the_first_step(tmp_path, monkeypatch, says, started):
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nimport os, time\nprint('''{says}''', flush=True)\ntime.sleep({30 * started})\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program))
    begin = time.monotonic()
    found = starts.start("vae_digits", tmp_path)
    assert time.monotonic() - begin < 20 and (found is not None) == started


def test_a_row_has_both_starts_or_says_why_not(monkeypatch):
    found = iter([starts.Start(10.0, 12.0), starts.Start(4.04, 5.0), None, None])
    monkeypatch.setattr(starts, "start", lambda recipe, cache: next(found))
    assert starts.row("vae_digits") == "| `vae_digits` | 10.0 | 12.0 | 4.0 | 5.0 |"
    assert "does not start alone" in starts.row("latent_digits")


def test_a_recipe_that_is_not_there_stops_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(starts, "row", lambda recipe: pytest.fail("was measured"))
    monkeypatch.setattr(sys, "argv", ["starts.py", "vae_digits", "vae_digit"])
    with pytest.raises(SystemExit, match="unknown recipe 'vae_digit'"):
        starts.main()


def test_named_recipes_are_printed_and_the_table_of_all_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(starts, "__file__", str(tmp_path / "starts.py"))
    monkeypatch.setattr(starts, "row", lambda recipe: f"| `{recipe}` |")
    monkeypatch.setattr(sys, "argv", ["starts.py", "vae_digits"])
    starts.main()
    assert capsys.readouterr().out.endswith("|---|---|---|---|---|\n| `vae_digits` |\n") and not os.listdir(tmp_path)
    monkeypatch.setattr(starts, "embedded", lambda: ["vae_digits"])
    monkeypatch.setattr(sys, "argv", ["starts.py"])
    starts.main()
    assert (tmp_path / "starts.md").read_text().endswith("| `vae_digits` |\n")
