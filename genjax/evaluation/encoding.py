"""The data of a run as codes of its first stage: `genjax encode`."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from genjax.data import codes, latents, split_batches
from genjax.engine.engine import Engine
from genjax.engine.state import averaged
from genjax.engine.step import EVAL, run_key
from genjax.errors import UsageError, UserError
from genjax.files import write_atomic
from genjax.models.base import Params, Tree
from genjax.runs.restore import OpenRun
from genjax.spec import DataSpec, Image, Latent, Tokens

__all__ = ["encode"]


def encode(opened: OpenRun, out: Path) -> tuple[Path, str]:
    """Writes the codes of every example of both splits, in order, centre-cropped and not mirrored.

    Continuous codes become the moments of q(z | x) in float16, with the standard deviation of z over the training
    split; ids become the field `tokens`. The other fields of the data go with them, but for the images, which the codes
    stand for.

    Args:
      opened: a run with its data.
      out: a folder, whose pieces are written one after another (see `genjax.data.codes`): data of any size. Or a name
        that ends in .npz, for which all codes are held in memory (see `genjax.data.latents`).

    Returns:
      The place, for --data.path, and a few words on what it holds.

    Raises:
      UsageError: another suffix. UserError: the model is no first stage, the data has a field of the codes' name
        already, or latents are beyond the range of float16.
    """
    model, spec = opened.engine.model, opened.engine.spec
    if not isinstance(model.code, Latent | Tokens):
        system = type(model).__name__
        raise UserError(f"genjax encode needs a run of a first stage, such as a VAE of spatial latents, not {system}")
    if out.suffix not in ("", ".npz"):
        raise UsageError(f"--out {out}: codes are written as .npz, or into a folder, whose name has no suffix")
    name = "latent" if isinstance(model.code, Latent) else "tokens"
    if name in spec.fields:
        raise UserError(
            f"the codes would be the field `{name}`, which this data has: name it otherwise (--data.fields)"
        )
    function, spread = _function(opened.engine), Spread()
    splits = {split: _parts(opened, split, name, function, spread) for split in latents.SPLITS}
    if not out.suffix:
        rest = {other: field for other, field in spec.fields.items() if not isinstance(field, Image)}

        def describe() -> DataSpec:
            code = model.code
            if isinstance(code, Latent):
                code = dataclasses.replace(code, std=spread.std)
            return DataSpec({name: code, **rest})

        tokenizer = opened.tokenizer if any(isinstance(field, Tokens) for field in rest.values()) else None
        codes.save(out, splits, describe, tokenizer)
    else:
        whole = {split: _joined(parts) for split, parts in splits.items()}
        _save_ids(out, whole) if name == "tokens" else latents.save(out, spec, whole, spread.std)
    if name == "tokens":
        return out, f"ids below {model.code.vocabulary}"
    return out, f"latents of standard deviation {spread.std:.4g}"


@dataclasses.dataclass
class Spread:
    """The standard deviation of z, of the moments of q(z | x): no draw of z is needed.

    var z = mean(mean^2 + variance) - mean(mean)^2. Latent diffusion divides by its root (section 4.3.2 and appendix G
    of Rombach et al. 2022, who estimate it from one batch).
    """

    sums: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))  # of 1, mean and mean^2 + variance

    def add(self, moments: np.ndarray) -> None:
        mean, log_var = np.split(moments.astype(np.float64), 2, axis=-1)
        self.sums += mean.size, mean.sum(), (np.square(mean) + np.exp(log_var)).sum()

    @property
    def std(self) -> float:
        count, total, squares = self.sums
        return float(np.sqrt(squares / count - (total / count) ** 2))


def _function(engine: Engine) -> Callable:
    """(params, state, batch, step) -> codes, compiled; `step` only serves to binarize each batch anew."""
    model, seed = engine.model, engine.experiment.train.seed

    def codes(params: Params, state: Tree, batch: dict, step: jax.Array) -> jax.Array:
        return model.encode(params, state, batch, jax.random.fold_in(run_key(seed, EVAL), step))

    return engine.jit(codes, out_shardings=jax.sharding.NamedSharding(engine.mesh, jax.sharding.PartitionSpec()))


def _parts(
    opened: OpenRun, split: str, name: str, function: Callable, spread: Spread
) -> Iterator[dict[str, np.ndarray]]:
    """The codes `name` of a split, batch after batch, with the arrays of the fields that are no images.

    All batches have the same size for the compiled function; rows that fill up the last one, and those in place of
    unreadable images, are left out. `spread` sees the latents of the training split.
    """
    engine = opened.engine
    kept = [
        array for n, field in engine.spec.fields.items() if not isinstance(field, Image) for array in field.arrays(n)
    ]
    params, state = averaged(opened.state)
    for step, batch in enumerate(split_batches(opened.dataset, split, engine.experiment.data.batch_size)):
        valid = batch.pop("valid")
        with jax.set_mesh(engine.mesh):
            found = jax.device_get(function(params, state, engine.put_global(batch), np.int32(step)))[valid]
        if name == "latent":
            if split == "train":
                spread.add(found)
            with np.errstate(over="ignore"):  # infinities are refused
                found = found.astype(np.float16)
            if not np.isfinite(found).all():
                most = np.finfo(np.float16).max
                raise UserError(f"latents of the {split} split are beyond {most}: train with more beta")
        yield {name: found} | {key: batch[key][valid] for key in kept}


def _joined(parts: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    held = list(parts)
    return {key: np.concatenate([part[key] for part in held]) for key in held[0]}


def _save_ids(out: Path, splits: dict[str, dict[str, np.ndarray]]) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, **{f"{split}_{name}": array for split, part in splits.items() for name, array in part.items()})
    return write_atomic(out, buffer.getvalue())
