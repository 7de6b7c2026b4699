# %% [markdown]
# # Train and sample
#
# A recipe is a frozen dataclass. What should differ is replaced, and `genjax.train` does what `genjax train` does: the
# run can be stopped, resumed, reported and sampled from the command line too.

# %%
import dataclasses
import os

import numpy as np
from PIL import Image

import genjax

STEPS = int(os.environ.get("GENJAX_STEPS", 3000))

experiment = genjax.load_experiment("vae_digits")
train = dataclasses.replace(experiment.train, steps=STEPS, eval_every=STEPS, checkpoint_every=STEPS)
experiment = dataclasses.replace(experiment, train=train)
metrics = genjax.train(experiment, "runs/notebook_vae")
print({name: round(float(value), 2) for name, value in metrics.items()})

# %% [markdown]
# ## What was trained
#
# `restore` gives the model, its parameters (the moving average, where the run has one) and its state. Samples are
# arrays by field.

# %%
trained = genjax.restore("runs/notebook_vae")
model, params, state = trained
images = trained.sample(100, label=tuple(range(10)))["image"]
print(images.shape, images.min(), images.max())

# %% [markdown]
# ## A sheet
#
# Pictures lie in [-1, 1], and a sheet of them is a reshape.

# %%
sheet = images.reshape(10, 10, 8, 8).transpose(0, 2, 1, 3).reshape(80, 80)
pixels = np.uint8(np.round((sheet + 1) * 127.5))
Image.fromarray(pixels).resize((480, 480), Image.Resampling.NEAREST).save("digits.png")

# %% [markdown]
# ## The parts
#
# A model's functions are pure: the same parameters, batch and key give the same numbers. Here they encode pictures, and
# decode the point half way between the codes of two.

# %%
label = np.array([3, 8])
pair = trained.sample(2, label=(3, 8))["image"]
mean, log_variance = model.posterior(params, pair, label)
between = model.mean_image(params, mean.mean(axis=0, keepdims=True), label[:1])
print(mean.shape, between.shape)
