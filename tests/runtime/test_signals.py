"""Ctrl-C ends what cannot be saved yet at once; afterwards it only asks, the first time."""

import os
import signal
import subprocess
import sys
import time

import pytest

from genjax.runtime.signals import Stop

DEAF = """
import time
from genjax.runtime import signals
signals.end_at_once()
print("ready", flush=True)
while True:
    try:
        time.sleep(0.1)
    except KeyboardInterrupt:  # as code that is imported may do
        pass
"""
COMPILING = """
import hashlib
from genjax.runtime import signals
signals.end_at_once()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha1", b"", b"", 2_000_000_000)  # no handler runs within, as while XLA compiles
"""
STOPPING = """
import time
from genjax.runtime import signals
signals.end_at_once()
with signals.Stop() as stop:
    print("ready", flush=True)
    while True:
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            pass
        if stop.asked:
            print(stop.asked.name, flush=True)
"""


def start(code: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # into the loop
    return process


@pytest.mark.parametrize("code", [DEAF, COMPILING])
def test_ctrl_c_ends_a_program_that_does_not_hear_it(code):
    process = start(code)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and said == "genjax: interrupted\n"


def test_the_first_ctrl_c_asks_and_the_second_does_not_wait():
    process = start(STOPPING)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "SIGINT\n"
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 1 and "Ctrl-C again" in said and said.endswith("genjax: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_only_asks(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert stop.asked is None
        os.kill(os.getpid(), number)
        assert stop.asked == number
    assert signal.getsignal(number) is before


def test_what_the_shell_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.asked is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_of_several_processes_the_others_are_told():
    told = []
    with Stop(forward=lambda: told.append(1)) as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert told == [1] and stop.asked == signal.SIGINT
