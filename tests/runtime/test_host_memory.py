"""Programs whose buffers exceed what an arena of glibc holds: few faults, as each brings a huge page."""

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PROGRAM = """
import resource, sys
from genjax.runtime.host_memory import use_huge_pages
if "huge" in sys.argv:
    use_huge_pages()
import jax, jax.numpy as jnp
step = jax.jit(lambda x: jnp.tanh(x[:, None] * x) @ x[:, None])  # an array of 144 MB
x = jnp.arange(6000.0)
for _ in range(2):
    step(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step(x).block_until_ready()
print(sys.argv[1:], (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 4)
"""


def run(*words: str, **environ: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | environ
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
@pytest.mark.skipif(not HUGE.exists() or "[never]" in HUGE.read_text(), reason="no transparent huge pages here")
def test_large_buffers_are_huge_pages():
    faults = float(run("huge", "word with spaces").removeprefix("['huge', 'word with spaces']"))
    assert faults < 0.5 * 144e6 / resource.getpagesize()


def test_tunables_of_the_environment_stay():
    """Whoever sets the tunable, to whatever, is left alone: the program would start again for ever otherwise."""
    assert run("huge", GLIBC_TUNABLES="glibc.malloc.hugetlb=0").startswith("['huge'] ")
