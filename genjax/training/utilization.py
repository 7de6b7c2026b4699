"""How much of its devices a run uses: MFU, and the most memory so far."""

from genjax.engine.engine import Engine
from genjax.engine.flops import model_flops
from genjax.runtime import devices
from genjax.runtime.memory_use import peak_memory

__all__ = ["Utilization"]


class Utilization:
    """Of devices whose peak is known (`genjax.runtime.devices`); of others, a CPU above all, there is nothing to say.

    MFU is model FLOPs utilization (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), with half of causal attention:
    what `genjax bench` calls `mfu`. To count the FLOPs the step is traced once more, which takes seconds of the start.
    """

    def __init__(self, engine: Engine):
        kinds = engine.mesh.devices.flatten()
        known = devices.find(kinds[0].device_kind)
        self._seconds = known and model_flops(engine.experiment, engine.spec) / (known.flops * len(kinds))

    def __call__(self, steps_per_second: float | None) -> dict[str, float]:
        """`mfu`, in [0, 1], and `peak_memory_bytes` of this process's fullest device; {} where no peak is known.

        Without a speed, before the first steps were timed, there is no `mfu`.
        """
        if self._seconds is None:
            return {}
        (memory, of), found = peak_memory(), {}
        if steps_per_second is not None:
            found["mfu"] = self._seconds * steps_per_second
        return found | ({"peak_memory_bytes": memory} if of == "device" else {})
