# %% [markdown]
# # Start from a run's weights
#
# A model that was trained on much data is a good beginning for little. Here the first data are handwritten digits,
# white on black, and the second are a hundred of them, black on white.

# %%
import dataclasses
import os

import numpy as np
from sklearn.datasets import load_digits

import genjax

STEPS = int(os.environ.get("GENJAX_STEPS", 2000))


def with_steps(experiment, steps, **train):
    changed = dataclasses.replace(experiment.train, steps=steps, eval_every=steps, checkpoint_every=steps, **train)
    return dataclasses.replace(experiment, train=changed)


first = genjax.load_experiment("vae_digits")
genjax.train(with_steps(first, STEPS), "runs/notebook_first")

# %% [markdown]
# ## Data of your own
#
# An `.npz` file has an array a field. Its images are 8-bit, and its labels are numbers from 0.

# %%
digits = load_digits()
few = slice(0, 100)
np.savez("black_on_white.npz", image=np.uint8(255 - digits.images[few] * 15), label=np.int32(digits.target[few]))

# %% [markdown]
# ## From the weights, and from nothing
#
# `init_from` names a run, or a file of safetensors. Everything else of the second run is its own.

# %%
second = dataclasses.replace(first, data=dataclasses.replace(first.data, path="black_on_white.npz", batch_size=32))
few_steps = max(STEPS // 10, 2)
tuned = genjax.train(with_steps(second, few_steps, init_from=("runs/notebook_first",)), "runs/notebook_tuned")
fresh = genjax.train(with_steps(second, few_steps), "runs/notebook_fresh")
print("from the weights:", round(tuned["elbo"], 2), "nats;", "from nothing:", round(fresh["elbo"], 2), "nats")
