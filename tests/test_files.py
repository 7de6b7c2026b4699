"""Files from outside: what is no regular file of text or JSON is one line that names it."""

import os
import socket
import subprocess
import sys

import pytest

from genjax.errors import UserError, visible
from genjax.files import (
    absolute,
    expanded,
    partial_folder,
    read_json,
    read_lines,
    read_text,
    require_file,
    write_atomic,
)
from genjax.runs.metrics import read_metrics
from genjax.runs.weights import load_safetensors


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "not readable as JSON"),
        (b"\xff", r"not UTF-8 text \(byte 0xff\)"),
        (b"[1]", "must be a JSON object with named values"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "not readable as JSON"),
    ],
)
def test_what_is_no_object_of_json(tmp_path, content, words):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.json: .*{words}"):
        read_json(tmp_path / "x.json")


def test_text_and_json_are_read(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": [1, null, "\xc3\xa9"]}')  # a byte-order mark is dropped
    assert read_json(tmp_path / "x.json") == {"a": [1, None, "é"]}
    with pytest.raises(UserError, match="at most 5 are read"):
        read_text(tmp_path / "x.json", most=5)


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("x.json", "w.safetensors", "metrics.jsonl"):
        os.mkfifo(tmp_path / name)
    held = [os.open(tmp_path / name, os.O_RDWR) for name in ("w.safetensors", "metrics.jsonl")]  # lest a fault hangs
    for read in (
        lambda: read_json(tmp_path / "x.json"),
        lambda: load_safetensors(tmp_path / "w.safetensors"),
        lambda: read_metrics(tmp_path),
        lambda: require_file(tmp_path),
    ):
        with pytest.raises(UserError, match="is not a regular file"):
            read()
    for descriptor in held:
        os.close(descriptor)


@pytest.mark.parametrize("value", ['"many"', "true", "NaN", "1e999", "[1]", '{"a": 1}', "1" + "0" * 400])
def test_a_metric_is_a_number(tmp_path, value):
    line = f'{{"step": 1, "loss": {value}}}'
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 0, "loss": null}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2, is not a metric record"):
        read_metrics(tmp_path)


def test_lines_have_no_ends(tmp_path):
    for text, lines in (("a\r\n\r\nb\r\n", ["a", "", "b"]), ("a\nb", ["a", "b"]), ("a\n\n", ["a", ""]), ("", [])):
        (tmp_path / "text").write_bytes(text.encode())
        assert read_lines(tmp_path / "text") == lines


def test_users_that_do_not_exist():
    for function in (expanded, absolute):
        with pytest.raises(UserError, match="~nosuchuser/x: there is no such user"):
            function("~nosuchuser/x")
    assert absolute("~/x") == os.path.join(os.path.expanduser("~"), "x") and absolute("gs://a/b") == "gs://a/b"


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    write_atomic(tmp_path / "link", b"theirs")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "link").is_symlink()


def test_control_characters_are_spelled_out():
    assert visible("é 東\t\n") == "é 東\t\n"
    assert visible("\x1b[2J\x07\udcff\u202e\x9b") == "\\x1b[2J\\x07\\udcff\\u202e\\x9b"


def test_partial_folders_of_processes_that_are_gone_are_removed(tmp_path):
    code = "from genjax.files import *; from pathlib import Path; import os, sys\n"
    code += "with partial_folder(Path(sys.argv[1])) as folder: folder.mkdir(); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "out"], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    kept = [f".out.partial-{socket.gethostname()}-{os.getppid()}", ".out.partial-elsewhere-1", ".other.partial-x-1"]
    for name in kept:
        (tmp_path / name).mkdir()
    with partial_folder(tmp_path / "out") as folder:
        folder.mkdir()
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, *kept}
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
