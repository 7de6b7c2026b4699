"""Several processes as one program: how they find one another, agree, and stop together.

The engine is `jax.distributed`: its coordination service notices a process that has died and ends the others, and
carries a SIGTERM that one host receives to all of them.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from genjax.errors import UsageError, UserError
from genjax.experiment import Mesh

__all__ = [
    "HEARTBEAT_SECONDS",
    "DeviceError",
    "agree_to_stop",
    "barrier",
    "cluster",
    "device_errors",
    "gather",
    "gather_rows",
    "initialize",
    "lost_process",
    "require_same",
    "together",
]

HEARTBEAT_SECONDS = 60  # a process that is silent this long is dead, and the others end with an error
LOST = r"UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|[Hh]eartbeat|[Bb]arrier|Connection (closed|reset)|Gloo"


class DeviceError(UserError):
    """The compiled program failed: memory, a device, or another process."""

    def __init__(self, reason: str):
        line = (reason.strip().splitlines() or ["no reason given"])[0][:300]
        if "RESOURCE_EXHAUSTED" in line:
            super().__init__(
                f"out of device memory ({line}): try a smaller --data.batch-size, more --train.grad-accumulation, "
                "--model.remat full, or more --mesh.fsdp"
            )
        elif lost_process(reason):
            super().__init__(f"another process was lost ({line}): start all processes again to resume")
        elif jax.process_count() > 1:
            super().__init__(f"a device or another process failed ({line}): start all processes again to resume")
        else:
            super().__init__(f"the device program failed ({line})")


@contextlib.contextmanager
def device_errors() -> Iterator[None]:
    """What a compiled program fails with becomes a DeviceError, which says it in one line."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise DeviceError(str(error)) from error


def lost_process(reason: str) -> bool:
    """Whether an error tells of another process that does not answer any more."""
    return jax.process_count() > 1 and re.search(LOST, reason) is not None


def cluster(environ: Mapping[str, str]) -> str | None:
    """The launcher of several processes that the environment tells of; None for one process alone.

    A variable of JAX's own (JAX_COORDINATOR_ADDRESS) says it for any launcher.
    """
    if environ.get("JAX_COORDINATOR_ADDRESS"):
        return "JAX_COORDINATOR_ADDRESS"
    if (_number(environ, "SLURM_NTASKS") or 1) > 1 and "SLURM_PROCID" in environ:
        return "SLURM"
    if (_number(environ, "OMPI_COMM_WORLD_SIZE") or 1) > 1:
        return "Open MPI"
    if "," in environ.get("TPU_WORKER_HOSTNAMES", "") or "," in environ.get("TPU_PROCESS_ADDRESSES", ""):
        return "Cloud TPU"
    if environ.get("MEGASCALE_COORDINATOR_ADDRESS"):
        return "Cloud TPU multislice"
    if "KUBERNETES_SERVICE_HOST" in environ and "JOB_COMPLETION_INDEX" in environ:
        return "Kubernetes"
    return None


def initialize(config: Mesh, environ: Mapping[str, str] = os.environ) -> None:
    """Joins the other processes: those that `mesh.coordinator` names, or that the launcher tells of. Else nothing.

    Raises:
      UserError: the three settings do not go together, or the others cannot be reached.
    """
    given = (config.coordinator, config.num_processes, config.process_id)
    if jax.distributed.is_initialized() or (given == (None, None, None) and cluster(environ) is None):
        return
    if None in given and given != (None, None, None):
        raise UserError("--mesh.coordinator, --mesh.num-processes and --mesh.process-id go together")
    if config.coordinator is None and cluster(environ) == "JAX_COORDINATOR_ADDRESS":
        given = (None, _number(environ, "JAX_NUM_PROCESSES"), _number(environ, "JAX_PROCESS_ID"))
    try:
        jax.distributed.initialize(*given, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except (ValueError, RuntimeError) as error:
        launcher = config.coordinator or cluster(environ)
        raise UserError(f"cannot join the processes of {launcher}: {str(error).splitlines()[0]}") from error


def barrier(name: str) -> None:
    """Waits until every process has come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def gather(text: str) -> list[str]:
    """The texts of all processes, on every one of them; they may differ in length."""
    if jax.process_count() == 1:
        return [text]
    from jax.experimental import multihost_utils

    data = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(data.size))
    rows = multihost_utils.process_allgather(np.pad(data, (0, int(sizes.max()) - data.size)))
    return [row[:size].tobytes().decode() for row, size in zip(np.asarray(rows), sizes)]


def gather_rows(array: np.ndarray) -> np.ndarray:
    """The rows of all processes, which have equally many, one after the other, on every one of them."""
    if jax.process_count() == 1:
        return array
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """An error of one process becomes one of all of them, so that nobody waits for who is gone.

    Nothing inside may wait for the other processes.
    """
    if jax.process_count() == 1:
        yield
        return
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    said = f"{isinstance(error, UsageError):d}{error or type(error).__name__}" if error else ""
    answers = gather(said)
    if error:
        raise error
    for number, answer in enumerate(answers):
        if answer:
            raise (UsageError if answer[0] == "1" else UserError)(f"process {number}: {answer[1:]}")


def require_same(settings: Mapping[str, object]) -> None:
    """Raises UsageError where the processes were not started with the same settings: those that differ are named."""
    answers = gather("\n".join(f"{name}: {value}" for name, value in settings.items()))
    for number, answer in enumerate(answers):
        if answer != answers[0]:
            first, other = answers[0].split("\n"), answer.split("\n")
            here, there = ("; ".join(line for line in a if line not in b) for a, b in ((first, other), (other, first)))
            raise UsageError(
                f"the processes were started with different settings: process 0 with {here[:300] or 'fewer'}; process "
                f"{number} with {there[:300] or 'fewer'}"
            )


def agree_to_stop(asked: bool, call: int) -> bool:
    """Whether to stop after this call of the step: asked to, or in several processes the call that all have agreed on.

    There a SIGTERM is what asks, on any of the hosts. `call` must grow by one: JAX agrees on the largest number so far
    and one more, and says yes at that number alone.
    """
    if jax.process_count() == 1:
        return asked
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(call)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name) or None
    if value is not None and not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise UserError(f"{name}={value} in the environment: must be a whole number")
    return None if value is None else int(value)
