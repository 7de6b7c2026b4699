"""Small diffusion models, and what their tests share."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from diffusion.mixture import Mixture

from genjax.diffusion import Estimate, Level
from genjax.models import Diffusion, DiTConfig
from genjax.spec import DataSpec, Image, Label

NET = DiTConfig(patch=4, layers=1, width=16, heads=2)
INDEX = np.arange(4, dtype=np.int32)
IMAGES = DataSpec({"image": Image(8, 8, 1), "label": Label(10)})
NAN = float("nan")
LINE = Mixture(shape=(1, 1, 1))


def tiny(spec: DataSpec = IMAGES, **fields) -> Diffusion:
    return Diffusion(network=NET, dtype="float32", **fields).resolve(spec)


def batch_of(channels: int = 1) -> dict:
    image = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    return {"index": INDEX, "image": np.repeat(image, channels, axis=-1), "label": INDEX % 10}


@functools.partial(jax.jit, static_argnums=0)
def _init(model: Diffusion):
    return model.init(jax.random.key(0), IMAGES)[0]


@functools.cache
def params_of(model: Diffusion) -> dict:
    """The parameters of a model of IMAGES before the first step."""
    return jax.device_get(_init(model))


def awake(params, scale: float = 0.1):
    """Parameters moved at random: an untrained network returns zeros, and every map that it makes is the identity."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda p: p + np.float32(scale) * random.standard_normal(p.shape, np.float32), params)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known(Diffusion):
    """A model that has learned its data, a mixture of Gaussians, exactly."""

    mixture: Mixture = LINE
    conditional: bool | None = False
    image_shape: tuple[int, int, int] | None = LINE.shape

    def denoise(self, params, x, level, previous=None, **given):
        one = lambda x, *level: self.mixture.denoise(x[None], Level(*level)).image[0]  # noqa: E731
        image = jax.vmap(one, (0, *[0 if jnp.ndim(v) else None for v in level]))(x, *level)
        return Estimate(image), image
