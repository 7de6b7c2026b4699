"""The samples drawn during training: the same ones each time, so that one sees them change."""

from pathlib import Path

import numpy as np

from genjax.data import Dataset, split_batches
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.evaluation.conditions import conditions
from genjax.evaluation.sampling import draw
from genjax.models.base import Layout
from genjax.runs.pages import DATA
from genjax.runs.sheets import GIVEN, save_samples
from genjax.spec import Image, Tokens

__all__ = ["Previews"]

Outputs = dict[str, np.ndarray]

READ = 256  # validation examples among which those of all classes are looked for


class Previews:
    """What `Model.previews` asks for, and real pictures to hold against it; nothing for a model without samples."""

    def __init__(self, engine: Engine, dataset: Dataset):
        """Raises UserError where the conditions cannot be made of the data."""
        self.engine, self.dataset, self.tokenizer = engine, dataset, dataset.tokenizer
        self.kinds = {
            name: (
                conditions(engine.model, options, engine.spec, dataset, dataset.tokenizer, engine.experiment.eval.grid),
                engine.model.layout(options),
            )
            for name, options in engine.model.previews.items()
        }

    def draw(self, state: TrainState) -> dict[str, Outputs]:
        """By name, on every process."""
        return {
            name: draw(self.engine, state, given, seed=0, options=options)
            for name, ((given, options), _) in self.kinds.items()
        }

    def write(self, folder: Path, step: int, drawn: dict[str, Outputs]) -> list[Path]:
        """Writes them as STEP or STEP-NAME; returns the files."""
        files, fields = [], self.engine.spec.fields | self.engine.model.outputs(self.engine.spec)
        for name, outputs in drawn.items():
            (given, _), layout = self.kinds[name]
            path = folder / (f"{step}" if name == "sample" else f"{step}-{name}")
            files += save_samples(path, outputs, fields, given, layout, self.tokenizer)
        return files

    def write_real(self, folder: Path) -> list[Path]:
        """Writes validation examples of the pictures that the model makes, if it makes any.

        Where they have classes, these follow one another as in the sheet of samples; where texts stand under samples,
        the examples' own stand here.
        """
        spec, count = self.engine.spec, self.engine.experiment.eval.grid
        made = self.engine.model.outputs(spec) if self.kinds else {}
        fields = {
            name: spec.fields[name] for name, kind in made.items() if isinstance(kind, Image) and name in spec.fields
        }
        if not fields:
            return []
        _, layout = next(iter(self.kinds.values()))
        under = {name.removeprefix(GIVEN) for name in layout.beside}
        fields |= {name: kind for name, kind in spec.of_kind(Tokens).items() if name in under}
        batch = next(split_batches(self.dataset, "validation", READ))
        rows = np.flatnonzero(batch["valid"])
        if "label" in spec.fields:
            rows = rows[_in_turn(batch["label"][rows])]
        arrays = {key: batch[key][rows[:count]] for name, kind in fields.items() for key in kind.arrays(name)}
        beside = Layout(tuple(fields), layout.columns)
        given = {"label": batch["label"][rows[:count]]} if "label" in spec.fields else {}
        return save_samples(folder / DATA, arrays, spec.fields | fields, given, beside, self.tokenizer)


def _in_turn(label_N: np.ndarray) -> np.ndarray:
    """(N,) the order in which the first examples of all classes come, by class, then the second ones, and so on."""
    place_N = np.zeros(len(label_N), int)
    for label in np.unique(label_N):
        place_N[label_N == label] = np.arange((label_N == label).sum())
    return np.lexsort((label_N, place_N))
