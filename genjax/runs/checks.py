"""What stands beside the state in a checkpoint: checksums of its arrays, and the log of steps without a record yet.

checks/process_N.json  {"checksums": {leaf: sum}, "log": {metric: [value of a step, ...]}}, a file of each process
"""

import json
from collections.abc import Mapping
from pathlib import Path

import jax

from genjax.errors import UserError
from genjax.files import read_json
from genjax.models.base import Tree
from genjax.plain import read
from genjax.runs import checksums
from genjax.runtime import distributed

__all__ = ["FOLDER", "Checks", "damage", "log"]

FOLDER = "checks"


class Checks:
    """They are computed and written behind the training: a "stateful checkpointable" of Orbax."""

    def __init__(self, state: Tree, log: Mapping[str, list[float]]):
        self._sums, self._log = checksums.of_tree(state), log

    async def save(self, directory):
        """On the thread of the training: nothing. What is returned runs behind it."""
        return self._write(directory)

    async def _write(self, directory) -> None:
        content = json.dumps({"checksums": self._sums(), "log": self._log})
        folder = await directory.await_creation()
        (folder / f"process_{jax.process_index()}.json").write_text(content)

    async def load(self, directory):
        raise NotImplementedError("the functions of this module read it")


def damage(checkpoint: Path, state: Tree) -> str:
    """What of a loaded state is not as it was saved; "" where all is, or where nothing tells. For every process."""
    saved = _saved(checkpoint / FOLDER)
    if saved is None:
        return "its checksums cannot be read"
    if not saved:
        return ""
    parts = [json.loads(part) for part in distributed.gather(json.dumps(checksums.of_tree(state)()))]
    wrong = checksums.changed(saved, {name: sum(part[name] for part in parts) % 2**32 for name in parts[0]})
    return f"its array {wrong} is not what was saved" if wrong else ""


def log(checkpoint: Path) -> dict[str, list[float]]:
    """The log that was saved; {} where there is none."""
    try:
        log = read_json(checkpoint / FOLDER / "process_0.json").get("log")
        return {name: list(values) for name, values in read(dict[str, tuple[float, ...]], log, "").items()}
    except UserError:
        return {}


def _saved(folder: Path) -> dict[str, int] | None:
    """The sums over the processes; {} of a checkpoint that was saved without; None where they are damaged."""
    try:
        files = [read_json(file).get("checksums") for file in sorted(folder.glob("process_*.json"))]
        parts = [read(dict[str, int], sums, "") for sums in files]
        totals = {name: sum(part[name] for part in parts) % 2**32 for name in (parts[0] if parts else ())}
    except (UserError, KeyError):
        return None
    return totals if totals or not folder.exists() else None
