"""Both splits of a run's images as latents of its spatial autoencoder: `genjax encode`."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genjax.data import latents, validation_batches
from genjax.engine.engine import Engine
from genjax.engine.state import averaged
from genjax.engine.step import EVAL, run_key
from genjax.errors import UsageError, UserError
from genjax.models import VAE
from genjax.models.base import Params
from genjax.runs.restore import OpenRun
from genjax.runtime import mesh as meshes


def encode(opened: OpenRun, out: Path) -> tuple[Path, float]:
    """Writes the moments of q(z | x) of every image, in order, centre-cropped and not mirrored; see data.latents.

    Args:
      opened: a run with its data.
      out: a name that ends in .npz.

    Returns:
      The file, and the standard deviation of z ~ q(z | x) over all latents of the training split. It needs no draw
      of z: var z = mean(mean^2 + variance) - mean(mean)^2. Latent diffusion divides by it (section 4.3.2 and
      appendix G of Rombach et al. 2022, who estimate it from one batch).

    Raises:
      UsageError: another suffix. UserError: not a spatial autoencoder, or latents beyond the range of float16.
    """
    engine = opened.engine
    if not isinstance(engine.model, VAE) or engine.model.network != "spatial":
        system = type(engine.model).__name__
        raise UserError(f"genjax encode needs a run of VAE with --model.network spatial, not of this {system}")
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: latents are written as .npz")
    splits, function = {}, _function(engine)
    sums = np.zeros(3)  # of 1, mean and mean^2 + variance; float64 on the host
    for split in latents.SPLITS:
        parts = []
        for part in _moments(opened, split, function):
            if split == "train":
                mean, log_var = np.split(part["latent"].astype(np.float64), 2, axis=-1)
                sums += mean.size, mean.sum(), (np.square(mean) + np.exp(log_var)).sum()
            parts.append(part | {"latent": part["latent"].astype(np.float16)})
        splits[split] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not np.isfinite(splits[split]["latent"]).all():
            raise UserError(f"latents of the {split} split are beyond {np.finfo(np.float16).max}: train with more beta")
    count, total, squares = sums
    std = float(np.sqrt(squares / count - (total / count) ** 2))
    return latents.save(out, engine.spec, splits, std), std


def _function(engine: Engine) -> Callable:
    """(params, batch, step) -> (B, h, w, 2 Z) float32, compiled; `step` only serves to binarize each batch anew."""
    model, seed = engine.model, engine.experiment.train.seed

    def moments(params: Params, batch: dict, step: jax.Array) -> jax.Array:
        image = model.seen(batch["image"], jax.random.fold_in(run_key(seed, EVAL), step), batch["index"])
        return jnp.concatenate(model.encode(params, image, batch["label"] if model.conditional else None), axis=-1)

    return engine.jit(moments, out_shardings=jax.sharding.NamedSharding(engine.mesh, jax.sharding.PartitionSpec()))


def _moments(opened: OpenRun, split: str, function: Callable) -> Iterator[dict[str, np.ndarray]]:
    """{"latent": (n, h, w, 2 Z) float32, "label": (n,) if there are labels}, batch after batch of a split.

    All batches have the same size for the compiled function; rows that fill up the last one, and those in place of
    unreadable images, are left out.
    """
    engine, dataset = opened.engine, opened.dataset
    in_order = dataclasses.replace(dataset, validation=getattr(dataset, split))
    batch_size, params = engine.experiment.data.batch_size, averaged(opened.state)[0]
    for step, batch in enumerate(validation_batches(in_order, batch_size)):
        valid = batch.pop("valid")
        with jax.set_mesh(engine.mesh):
            moments = function(params, meshes.put(batch, engine.batch_sharding, batch_size), np.int32(step))
        part = {"latent": jax.device_get(moments)[valid]}
        yield part | ({"label": batch["label"][valid].astype(np.int32)} if "label" in batch else {})
