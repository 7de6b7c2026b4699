"""TPUs that are not there: devices of a topology to compile for, from libtpu alone."""

import os
import re

from genjax.errors import UsageError, UserError
from genjax.runtime import libtpu

__all__ = ["topology_devices"]

TOPOLOGIES = "v5e:4x4, v6e:16x16 (two sizes) or v4:2x2x4, v5p:4x4x4 (three sizes)"


def topology_devices(topology: str) -> list:
    """The devices of "v5e:4x4". Raises UserError without libtpu, UsageError where it knows no such topology."""
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two plans at a time
    libtpu.hush()
    from jax.experimental import topologies

    if not re.fullmatch(r"v\d\w*:\d+x\d+(x\d+)?", topology):
        raise UsageError(f"--topology '{topology}': take one such as {TOPOLOGIES}")
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)
    except Exception as error:  # jax raises what the plugin raises
        if "INVALID_ARGUMENT" in str(error):
            reason = str(error).partition("INVALID_ARGUMENT: ")[2].splitlines()[0]
            raise UsageError(f"--topology '{topology}': {reason}; take one such as {TOPOLOGIES}") from error
        raise UserError(
            'planning for TPUs needs libtpu: pip install "genjax-suite[tpu]" '
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
