"""Every registered system at a tiny size: a new system is covered by the contract tests by being listed here."""

import dataclasses
import functools
import time
from typing import ClassVar

import jax
import numpy as np

from genjax import data
from genjax.diffusion import DDPM, EDM, Flow
from genjax.engine.engine import Engine
from genjax.experiment import Data, Eval, Experiment, Mesh, Optim, Train
from genjax.models import GAN, GPT, VAE, Diffusion, DiTConfig, LatentDiffusion, UNetConfig
from genjax.runs import directory as run
from genjax.spec import DataSpec

BATCH = 16
IMAGES = DataSpec(image_shape=(8, 8, 1), classes=10, train_examples=1500, validation_examples=297)
TEXT = DataSpec(vocabulary=256, context=16, train_examples=1000, validation_examples=100)

_images = Data(source="digits", batch_size=BATCH)
_text = Data(source="pydoc", context=16, batch_size=BATCH)
_train = Train(steps=20, log_every=1, eval_every=0, sample_every=0, checkpoint_every=0)
_optim = Optim(learning_rate=1e-3)


def _tiny(model, data=_images, **sections) -> Experiment:
    sections = {"optim": _optim, "train": _train, "eval": Eval(examples=32, set_size=32, grid=4), **sections}
    return Experiment(model=model, data=data, **sections)


TINY: dict[str, Experiment] = {
    "vae": _tiny(VAE(network="conv", widths=(8, 16), latent=4, iwae_samples=2)),
    "vae-conditional": _tiny(
        VAE(network="dense", widths=(16,), latent=4, conditional=True, binarization="dynamic", iwae_samples=2),
        train=dataclasses.replace(_train, ema_decay=0.9),
    ),
    "vae-spatial": _tiny(
        VAE(network="spatial", widths=(4,), blocks=1, latent=2, likelihood="mse", beta=0.1, iwae_samples=1),
    ),
    "gan": _tiny(
        GAN(network="dcgan", latent=8, generator_width=8, discriminator_width=8, generator_norm="none",
            discriminator_norm="none", r1_gamma=1.0, r1_every=2, conditional=True),
        train=dataclasses.replace(_train, ema_decay=0.9, ema_entries=("generator",)),
    ),
    "gan-batchnorm": _tiny(
        GAN(network="dcgan", latent=8, generator_width=8, discriminator_width=8, spectral_norm=True),
    ),
    "gpt": _tiny(GPT(layers=2, heads=2, width=32), _text),
    "gpt-llama": _tiny(
        GPT(layers=2, heads=4, kv_heads=2, width=32, hidden=48, positions="rope", norm="rms", mlp="swiglu",
            tied=False, bias=False, remat="dots"),
        _text,
        optim=Optim(name="adamw", weight_decay=0.1, clip_norm=1.0, schedule="cosine", warmup_steps=4),
    ),
    "diffusion-unet": _tiny(
        Diffusion(network=UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=()), process=DDPM(steps=50),
                  variance="learned", likelihood_steps=2),
        train=dataclasses.replace(_train, ema_decay=0.9),
    ),
    "diffusion-dit": _tiny(
        Diffusion(network=DiTConfig(patch=2, layers=2, width=32, heads=2), process=Flow(), target="velocity",
                  self_conditioning=True),
    ),
    "latent-diffusion": _tiny(
        LatentDiffusion(network=DiTConfig(patch=2, layers=1, width=32, heads=2), process=EDM(), target="edm",
                        first_stage=VAE(network="spatial", widths=(4, 8), blocks=1, latent=2)),
    ),
}  # fmt: skip

# Batch normalization sees the whole batch, so that micro-batches of it are another function.
BATCH_COUPLED = {"gan-batchnorm"}


def spec_of(name: str) -> DataSpec:
    return TEXT if TINY[name].data.source == "pydoc" else IMAGES


def tiny(name: str, **train) -> Experiment:
    """The resolved tiny experiment, with fields of its `train` section replaced."""
    experiment = TINY[name]
    experiment = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, **train))
    return run.resolve(experiment, spec_of(name))


@functools.cache
def engine(name: str, devices: int = 1, mesh: Mesh = Mesh(), **train) -> Engine:
    return Engine(dataclasses.replace(tiny(name, **train), mesh=mesh), spec_of(name), jax.devices()[:devices])


@functools.cache
def batch(name: str, step: int = 0) -> dict[str, np.ndarray]:
    """A synthetic batch with smooth images, or with text of a few repeated letters."""
    random = np.random.default_rng(step)
    fields = {"index": np.arange(BATCH, dtype=np.int32)}
    if TINY[name].data.source == "pydoc":
        return fields | {"tokens": random.integers(97, 105, (BATCH, 17)).astype(np.int32)}
    corners = random.uniform(-1, 1, (BATCH, 2, 2, 1)).astype(np.float32)
    label = random.integers(0, 10, BATCH).astype(np.int32)
    return fields | {"image": corners.repeat(4, axis=1).repeat(4, axis=2), "label": label}


@dataclasses.dataclass(frozen=True)
class SlowSource:
    """A source that takes its time."""

    source: data.Source
    seconds: float
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.source)

    def gather(self, ids_B, draws_B3):
        time.sleep(self.seconds)
        return self.source.gather(ids_B, draws_B3)
