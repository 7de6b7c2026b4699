"""torch-fidelity, the reference of the metrics over features, without the torchvision that its data sets want."""

import importlib.util
import sys
import types

import pytest


class _Absent(types.ModuleType):
    """Stands for a module of which only names are taken."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def module(name: str):
    """torch_fidelity.NAME; the test is skipped without it."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("needs torch-fidelity")
    names = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
    placed = [name for name in names if name not in sys.modules]
    for absent in placed:
        sys.modules[absent] = _Absent(absent)
        if "." in absent:
            setattr(sys.modules[absent.rpartition(".")[0]], absent.rpartition(".")[2], sys.modules[absent])
    try:
        return importlib.import_module(f"torch_fidelity.{name}")
    finally:
        for absent in placed:
            del sys.modules[absent]
