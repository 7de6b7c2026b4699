"""How much of its devices a run uses: MFU, and the most memory so far."""

from genjax.data import Dataset
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

    def __init__(self, engine: Engine, dataset: Dataset):
        """Where batches have several shapes, no number of FLOPs is that of a step, and there is no `mfu`."""
        kinds = engine.mesh.devices.flatten()
        self._known, self._seconds = devices.find(kinds[0].device_kind), None
        if self._known and len(dataset.shapes(engine.experiment.data.batch_size)) == 1:
            self._seconds = model_flops(engine.experiment, engine.spec) / (self._known.flops * len(kinds))

    def __call__(self, steps_per_second: float | None) -> dict[str, float]:
        """`mfu`, in [0, 1], and `peak_memory_bytes` of this process's fullest device; {} where no peak is known.

        Without a speed, before the first steps were timed, there is no `mfu`.
        """
        if self._known is None:
            return {}
        (memory, of), found = peak_memory(), {}
        if self._seconds is not None and steps_per_second is not None:
            found["mfu"] = self._seconds * steps_per_second
        return found | ({"peak_memory_bytes": memory} if of == "device" else {})
