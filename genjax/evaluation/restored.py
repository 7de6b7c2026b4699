"""A trained model in Python: `genjax.restore(RUN)`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import Tokenizer
from genjax.engine.state import averaged
from genjax.errors import UsageError
from genjax.evaluation.conditions import conditions
from genjax.evaluation.sampling import draw
from genjax.models.base import Model, Params, Tree
from genjax.runs.restore import OpenRun, open_run
from genjax.runs.sheets import field_texts
from genjax.spec import DataSpec

__all__ = ["Restored", "restore"]


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained model. It unpacks into its first three fields: `model, params, state = genjax.restore(RUN)`."""

    model: Model
    params: Params = dataclasses.field(repr=False)
    state: Tree = dataclasses.field(repr=False)  # the model's
    tokenizer: Tokenizer | None  # of a model of text
    spec: DataSpec  # of the data that it was trained on
    run: OpenRun = dataclasses.field(repr=False)  # the engine and the whole training state

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.params, self.state))

    def __getitem__(self, index: int) -> Any:
        return tuple(self)[index]

    def sample(self, num: int = 16, *, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
        """Samples, as `genjax sample` draws them.

        Args:
          num: how many; fewer come back where they are made from examples of the data, and it has fewer.
          **options: the model's own, as in `genjax sample --help`: label=3 or label=("cat", "dog"), guidance=2.0,
            prompt="def " ...

        Returns:
          Arrays (num, ...) by field: images (num, H, W, C) in [-1, 1], `tokens` (num, T) beside `tokens_length`
          (num,), ... `texts` writes tokens as text.

        Raises:
          UsageError: a model without samples, or whose samples are made from data (`genjax sample` draws those); an
            option that the model has not, or that says something impossible; num < 1.
        """
        if not self.model.samples:
            raise UsageError(f"{type(self.model).__name__} makes no samples")
        known = {field.name: field.default for field in dataclasses.fields(self.model.Options)}
        if unknown := sorted(options.keys() - known.keys()):
            raise UsageError(
                f"{type(self.model).__name__} has no option {unknown[0]}: it has {', '.join(sorted(known))}"
            )
        if num < 1:
            raise UsageError(f"num={num}: take at least one sample")
        options = {name: _several(value) if known[name] == () else value for name, value in options.items()}
        chosen = self.model.check(self.model.Options(**options))
        if needs := self.model.needs(chosen):
            raise UsageError(f"these samples are made from `{needs[0]}` of the data: draw them with `genjax sample`")
        given, chosen = conditions(self.model, chosen, self.spec, None, self.tokenizer, num)
        return draw(self.run.engine, self.run.state, given, seed=seed, options=chosen)

    def texts(self, outputs: dict[str, np.ndarray], field: str = "tokens") -> list[str]:
        """What the rows of a field of samples say: text for tokens, names for labels."""
        return field_texts(field, outputs, (self.spec.fields | self.model.outputs(self.spec))[field], self.tokenizer)


def _several(value: Any) -> tuple:
    """The value of an option that takes several, from one alone too: a text is not its letters."""
    return tuple(value) if isinstance(value, list | tuple | range | np.ndarray) else (value,)


def restore(run: str | Path, checkpoint: str | int = "latest", ema: bool | float = True) -> Restored:
    """The model of a run with its weights.

    Args:
      checkpoint: "latest", "best" or a step.
      ema: True = the moving average, where the run has one; False = the parameters of the last step; a number = the
        power average of that sigma_rel, if the run was trained with `train.ema_power`.

    Raises:
      UsageError: a sigma_rel that no power average has, or `ema` of another kind.
      UserError: no run directory, no checkpoint that loads, or no power averages to make one from.
    """
    if not isinstance(ema, bool | int | float):
        raise UsageError(f"ema={ema!r}: take True, False or a sigma_rel such as 0.07")
    opened = open_run(Path(run), str(checkpoint), ema=ema)
    return Restored(opened.engine.model, *averaged(opened.state), opened.tokenizer, opened.engine.spec, opened)
