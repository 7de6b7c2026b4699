"""Eight simulated devices and quick compilation, set before JAX starts."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The tests compile much and run little: LLVM's optimizations would take three times as long as they save, XLA:CPU's
# older emitters of loops take half the time of its fusion emitters, and to cut a program into parts that are compiled
# at the same time costs a tenth.
FLAGS = ["--xla_force_host_platform_device_count=8", "--xla_backend_optimization_level=0"]
if version("jaxlib").startswith("0.10."):  # later ones end at once when they are given an option that is gone
    FLAGS += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
for flag in FLAGS:
    if flag.split("=")[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("MPLBACKEND", "Agg")
# Where other processes want the cores too, PyTorch's threads wait for one another in busy loops: a step took 20 times
# the CPU time of one thread's (2026-11-26).
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """The contract goes system by system: the programs of each are compiled once, and forgotten together."""
    places = [place for place, item in enumerate(items) if item.path.name == "test_contract.py"]
    systems = sorted((items[place] for place in places), key=system_of)
    for place, item in zip(places, systems):
        items[place] = item


def system_of(item: pytest.Item) -> str:
    return item.callspec.params["name"] if hasattr(item, "callspec") else ""


MAPS = 20_000  # memory maps of this process; the kernel ends one that asks for more than 65,530 with a segfault


def memory_maps() -> int:
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


@pytest.fixture(autouse=True)
def forget_compiled_programs():
    """Frees all programs when they have become many: XLA:CPU maps each into memory in several hundred pieces."""
    yield
    if memory_maps() > MAPS:
        import jax
        import systems

        systems.engine.cache_clear()
        jax.clear_caches()
        gc.collect()
