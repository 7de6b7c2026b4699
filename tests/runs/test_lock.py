"""One trainer a run directory."""

import json
import os
import subprocess
import sys
import time

import pytest

from genjax.errors import UserError
from genjax.runs import lock
from genjax.runs.lock import LOCK, RunLock


def write(run, **holder):
    run.mkdir()
    (run / LOCK).write_text(json.dumps(lock._me() | holder))


def test_a_second_trainer_is_told_who_the_first_is(tmp_path):
    run = tmp_path / "run"
    held = RunLock(run)
    with pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on .*another --out"):
        RunLock(run)
    held.close()
    with RunLock(run):
        pass
    assert not list(run.iterdir())


def test_a_killed_trainer_leaves_nothing_that_stops_the_next(tmp_path):
    code = f"from genjax.runs.lock import RunLock; import os, pathlib; RunLock(pathlib.Path({str(tmp_path)!r})); "
    subprocess.run([sys.executable, "-c", code + "os.kill(os.getpid(), 9)"], check=False)
    assert (tmp_path / LOCK).exists()
    with RunLock(tmp_path):
        pass


def test_a_trainer_on_another_host_is_respected_as_long_as_it_lives(tmp_path):
    run = tmp_path / "run"
    write(run, boot="another", host="node7", pid=12)
    with pytest.raises(UserError, match="process 12 on node7"):
        RunLock(run)
    long_ago = time.time() - 2 * lock.STALE
    os.utime(run / LOCK, (long_ago, long_ago))
    with RunLock(run):
        assert json.loads((run / LOCK).read_text())["pid"] == os.getpid()
        assert time.time() - (run / LOCK).stat().st_mtime < lock.STALE


def test_the_file_is_renewed_while_the_lock_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with RunLock(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 5
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert (tmp_path / LOCK).stat().st_mtime > 0


def test_without_locks_of_the_file_system_the_process_is_looked_for(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    run = tmp_path / "run"
    write(run)
    with pytest.raises(UserError, match="is being trained by"):
        RunLock(run)
    (run / LOCK).write_text(json.dumps(lock._me() | {"started": "1"}))  # its number was given to another process since
    with RunLock(run):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_file_holds_nobody_up(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    old = time.time() - 2 * lock.STALE
    os.utime(tmp_path / LOCK, (old, old))
    with RunLock(tmp_path):
        pass
