"""What a run is, said before the silence of its first compilation."""

from pathlib import Path

from genjax.data import Dataset
from genjax.engine.engine import Engine
from genjax.engine.state import parameter_count
from genjax.spec import DataSpec, Image
from genjax.training.schedule import next_samples

__all__ = ["banner", "shorter"]

SIDE = 32  # pixels of pictures that are small already


def banner(engine: Engine, dataset: Dataset, out: Path, start: int) -> list[str]:
    """Lines for a person: model, data, place, and when there is something to look at. `start` steps are done."""
    experiment, devices = engine.experiment, engine.mesh.devices.flatten()
    model, train = experiment.model, experiment.train
    held = {name: len(source) for name, source in dataset.splits.items() if name != "train"}
    kinds = f"{len(devices)} x {devices[0].device_kind}" if len(devices) > 1 else devices[0].device_kind
    splits = ", ".join(f"{number:,} for {name}" for name, number in held.items())
    count = parameter_count(engine.abstract_state.params)
    lines = [
        f"{type(model).__name__} of {count:,} parameters on {kinds}, in '{out}'",
        f"data: {len(dataset.train):,} examples, {splits}: {dataset.spec.describe()}",
    ]
    if start < train.steps:
        steps = f"steps {start + 1:,} to {train.steps:,} of {experiment.data.batch_size:,} examples; compiling now"
        seen = f"; first samples after step {next_samples(start, train):,}, in {out / 'report.html'}"
        lines.append(steps + seen * model.samples)
    if start:
        lines.append(f"resuming '{out}' at step {start}")
    if dataset.unused:
        lines.append(f"fields of the data that nothing reads: {', '.join(dataset.unused)}")
    return [*lines, *dataset.notes]


def shorter(spec: DataSpec) -> str:
    """What makes training of this data shorter, in words."""
    sides = [max(field.height, field.width) for field in spec.fields.values() if isinstance(field, Image)]
    if sides and max(sides) > SIDE:
        return f"--data.image-size {max(sides) // 2} would take about a quarter"
    return "fewer --train.steps, or a smaller --model, would take less"
