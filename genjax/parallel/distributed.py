"""Several processes as one program: how they find one another, and how they stop together."""

import jax

from genjax.errors import UserError
from genjax.experiment import Mesh


def initialize(config: Mesh) -> None:
    """Joins the other processes, where `mesh.coordinator` names them; nothing for a single process.

    Raises:
      UserError: the three settings do not go together.
    """
    given = (config.coordinator, config.num_processes, config.process_id)
    if jax.distributed.is_initialized() or given == (None, None, None):
        return
    if None in given:
        raise UserError("--mesh.coordinator, --mesh.num-processes and --mesh.process-id go together")
    jax.distributed.initialize(*given)


def barrier(name: str) -> None:
    """Waits until every process has come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def agree_to_stop(asked: bool, step: int) -> bool:
    """Whether all processes stop after this step: when one of them was asked to."""
    if jax.process_count() == 1:
        return asked
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)
