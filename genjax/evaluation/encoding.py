"""The data of a run as codes of its first stage: `genjax encode`."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from genjax.data import latents, split_batches
from genjax.engine.engine import Engine
from genjax.engine.state import averaged
from genjax.engine.step import EVAL, run_key
from genjax.errors import UsageError, UserError
from genjax.files import write_atomic
from genjax.models.base import Params, Tree
from genjax.runs.restore import OpenRun
from genjax.spec import Image, Latent, Tokens

__all__ = ["encode"]


def encode(opened: OpenRun, out: Path) -> tuple[Path, str]:
    """Writes the codes of every example of both splits, in order, centre-cropped and not mirrored.

    Continuous codes become the moments of q(z | x) in float16, with the standard deviation of z over the training
    split (see `genjax.data.latents`); ids become the arrays SPLIT_tokens. The other fields of the data go with them,
    but for the images, which the codes stand for.

    Args:
      opened: a run with its data.
      out: a name that ends in .npz.

    Returns:
      The file, for --data.path, and a few words on what it holds.

    Raises:
      UsageError: another suffix. UserError: the model is no first stage, the data has a field of the codes' name
        already, or latents are beyond the range of float16.
    """
    model, spec = opened.engine.model, opened.engine.spec
    if not isinstance(model.code, Latent | Tokens):
        system = type(model).__name__
        raise UserError(f"genjax encode needs a run of a first stage, such as a VAE of spatial latents, not {system}")
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: codes are written as .npz")
    name = "latent" if isinstance(model.code, Latent) else "tokens"
    if name in spec.fields:
        raise UserError(
            f"the codes would be the field `{name}`, which this data has: name it otherwise (--data.fields)"
        )
    function, splits = _function(opened.engine), {}
    sums = np.zeros(3)  # of 1, mean and mean^2 + variance of latents; float64 on the host
    for split in latents.SPLITS:
        parts = []
        for part in _parts(opened, split, name, function):
            if name == "latent":
                if split == "train":
                    mean, log_var = np.split(part[name].astype(np.float64), 2, axis=-1)
                    sums += mean.size, mean.sum(), (np.square(mean) + np.exp(log_var)).sum()
                with np.errstate(over="ignore"):  # infinities are found below
                    part[name] = part[name].astype(np.float16)
            parts.append(part)
        splits[split] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        if not np.isfinite(splits[split][name]).all():
            raise UserError(f"latents of the {split} split are beyond {np.finfo(np.float16).max}: train with more beta")
    if name == "tokens":
        return _save_ids(out, splits), f"ids below {model.code.vocabulary}"
    # No draw of z is needed: var z = mean(mean^2 + variance) - mean(mean)^2. Latent diffusion divides by its root
    # (section 4.3.2 and appendix G of Rombach et al. 2022, who estimate it from one batch).
    count, total, squares = sums
    std = float(np.sqrt(squares / count - (total / count) ** 2))
    return latents.save(out, spec, splits, std), f"latents of standard deviation {std:.4g}"


def _function(engine: Engine) -> Callable:
    """(params, state, batch, step) -> codes, compiled; `step` only serves to binarize each batch anew."""
    model, seed = engine.model, engine.experiment.train.seed

    def codes(params: Params, state: Tree, batch: dict, step: jax.Array) -> jax.Array:
        return model.encode(params, state, batch, jax.random.fold_in(run_key(seed, EVAL), step))

    return engine.jit(codes, out_shardings=jax.sharding.NamedSharding(engine.mesh, jax.sharding.PartitionSpec()))


def _parts(opened: OpenRun, split: str, name: str, function: Callable) -> Iterator[dict[str, np.ndarray]]:
    """The codes `name` of a split, batch after batch, with the arrays of the fields that are no images.

    All batches have the same size for the compiled function; rows that fill up the last one, and those in place of
    unreadable images, are left out.
    """
    engine = opened.engine
    kept = [
        array for n, field in engine.spec.fields.items() if not isinstance(field, Image) for array in field.arrays(n)
    ]
    params, state = averaged(opened.state)
    for step, batch in enumerate(split_batches(opened.dataset, split, engine.experiment.data.batch_size)):
        valid = batch.pop("valid")
        with jax.set_mesh(engine.mesh):
            codes = function(params, state, engine.put_global(batch), np.int32(step))
        yield {name: jax.device_get(codes)[valid]} | {key: batch[key][valid] for key in kept}


def _save_ids(out: Path, splits: dict[str, dict[str, np.ndarray]]) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, **{f"{split}_{name}": array for split, part in splits.items() for name, array in part.items()})
    return write_atomic(out, buffer.getvalue())
