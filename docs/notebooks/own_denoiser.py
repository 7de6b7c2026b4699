# %% [markdown]
# # A denoiser in a loop of your own
#
# `genjax.models` and `genjax.diffusion` are functions over arrays. Nothing here uses the trainer: data, loop and
# optimizer are your own.

# %%
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from genjax import models
from genjax.diffusion import EDM, check, clipped, sample, start

STEPS = int(os.environ.get("GENJAX_STEPS", 2000))

images = np.float32(load_digits().images[..., None] / 8 - 1)  # (1797, 8, 8, 1), in [-1, 1]

# %% [markdown]
# ## The definition
#
# A model is a frozen dataclass. `resolve` fills in what the data decides.

# %%
spec = models.DataSpec({"image": models.Image(8, 8, 1)})
network = models.UNetConfig(channels=32, multipliers=(1, 2), blocks=1, attention=())
model = models.Diffusion(process=EDM(), target="edm", network=network).resolve(spec)
params, state = jax.jit(lambda key: model.init(key, spec))(jax.random.key(0))

# %% [markdown]
# ## The loop
#
# A batch is a dict of arrays. `index` numbers its rows: all noise is drawn from it and the key.

# %%
optimizer = optax.adam(1e-3)
moments = optimizer.init(params)


@jax.jit
def train_step(params, moments, batch, key, step):
    def loss(params):
        return model.loss("denoise", params, state, batch, key, step=step, train=True).loss

    value, gradient = jax.value_and_grad(loss)(params)
    updates, moments = optimizer.update(gradient, moments)
    return optax.apply_updates(params, updates), moments, value


order = np.random.default_rng(0)
for step in range(STEPS):
    batch = {"image": jnp.asarray(images[order.integers(len(images), size=64)]), "index": jnp.arange(64)}
    params, moments, value = train_step(params, moments, batch, jax.random.key(step), step)
    if step % 500 == 0 or step == STEPS - 1:
        print(step, float(value))

# %% [markdown]
# ## Sampling
#
# A sampler asks for nothing but a denoiser: a function of the noisy pictures, the level of noise and the last estimate.
# Yours may be any other network.

# %%
check(model.process, "heun", 20)
grid = model.process.grid(20)
index = jnp.arange(16)


def denoise(x, level, previous):
    return model.denoise(params, x, level)[0]


@jax.jit
def draw(key):
    noise_key, key = jax.random.split(key)
    noise = start(grid, noise_key, index, (8, 8, 1))
    return sample(clipped(denoise), noise, grid, process=model.process, sampler="heun", key=key, index_B=index)[0]


drawn = draw(jax.random.key(1))
print(drawn.shape, float(drawn.min()), float(drawn.max()))
assert jnp.isfinite(drawn).all()
