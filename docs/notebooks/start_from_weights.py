# %% [markdown]
# # Start from a run's weights
#
# Where data is little, a model that was trained on more of its kind may be a better beginning than nothing. Here the
# first data are handwritten digits, and the second are a hundred of them in a paler ink. The last line says which began
# better.

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
np.savez("paler.npz", image=np.uint8(digits.images[few] * 10), label=np.int32(digits.target[few]))

# %% [markdown]
# ## From the weights, and from nothing
#
# `init_from` names a run, or a file of safetensors. Everything else of the second run is its own.

# %%
second = dataclasses.replace(first, data=dataclasses.replace(first.data, path="paler.npz", batch_size=32))
few_steps = max(STEPS // 10, 2)
tuned = genjax.train(with_steps(second, few_steps, init_from=("runs/notebook_first",)), "runs/notebook_tuned")
fresh = genjax.train(with_steps(second, few_steps), "runs/notebook_fresh")
print("from the weights:", round(tuned["elbo"], 2), "nats;", "from nothing:", round(fresh["elbo"], 2), "nats")
