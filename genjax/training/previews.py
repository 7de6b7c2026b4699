"""The samples drawn during training: the same ones each time, so that one sees them change."""

from pathlib import Path

from genjax.data import Dataset
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.evaluation.conditions import conditions
from genjax.evaluation.sampling import draw
from genjax.runs.sheets import save_samples

__all__ = ["Previews"]


class Previews:
    """What `Model.previews` asks for; nothing for a model without samples."""

    def __init__(self, engine: Engine, dataset: Dataset):
        """Raises UserError where the conditions cannot be made of the data."""
        self.engine, self.tokenizer = engine, dataset.tokenizer
        self.kinds = {
            name: (
                conditions(engine.model, options, engine.spec, dataset, dataset.tokenizer, engine.experiment.eval.grid),
                engine.model.layout(options),
            )
            for name, options in engine.model.previews.items()
        }

    def write(self, folder: Path, step: int, state: TrainState, *, lead: bool) -> list[Path]:
        """Draws them on every process and writes them on one, as STEP or STEP-NAME; returns the files."""
        files, fields = [], self.engine.spec.fields | self.engine.model.outputs(self.engine.spec)
        for name, ((given, options), layout) in self.kinds.items():
            outputs = draw(self.engine, state, given, seed=0, options=options)
            if lead:
                path = folder / (f"{step}" if name == "sample" else f"{step}-{name}")
                files += save_samples(path, outputs, fields, given, layout, self.tokenizer)
        return files
