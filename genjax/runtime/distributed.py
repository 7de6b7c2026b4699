"""Several processes as one program: how they find one another, and how they stop together.

The engine is `jax.distributed`: its coordination service notices a process that has died and ends the others, and
carries a SIGTERM that one host receives to all of them.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

import jax

from genjax.errors import UserError
from genjax.experiment import Mesh

HEARTBEAT_SECONDS = 60  # a process that is silent this long is dead, and the others end with an error


class DeviceError(UserError):
    """The compiled program failed: memory, a device, or another process."""

    def __init__(self, reason: str):
        line = reason.strip().splitlines()[0][:300]
        if "RESOURCE_EXHAUSTED" in line:
            super().__init__(
                f"out of device memory ({line}): try a smaller --data.batch-size, more --train.grad-accumulation, "
                "--model.remat full, or more --mesh.fsdp"
            )
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


def exit_now(error: Exception, status: int) -> None:
    """Ends a process whose fellows have failed at once, where an orderly exit would wait for them."""
    if isinstance(error, DeviceError) and jax.process_count() > 1:
        sys.stderr.flush()
        os._exit(status)


def cluster(environ: Mapping[str, str]) -> str | None:
    """The launcher of several processes that the environment tells of; None for one process alone.

    A variable of JAX's own (JAX_COORDINATOR_ADDRESS) says it for any launcher.
    """
    if environ.get("JAX_COORDINATOR_ADDRESS"):
        return "JAX_COORDINATOR_ADDRESS"
    if int(environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in environ:
        return "SLURM"
    if int(environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
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


def agree_to_stop(asked: bool, step: int) -> bool:
    """Whether to stop after this step: asked to, or in several processes the step that all have agreed on."""
    if jax.process_count() == 1:
        return asked
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name)
    if value is not None and not value.isdecimal():
        raise UserError(f"{name}={value}: must be a number")
    return None if value is None else int(value)
