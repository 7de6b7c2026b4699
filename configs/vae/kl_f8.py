"""Stable Diffusion's first stage (Rombach et al. 2022, arXiv:2112.10752): 256x256 to 32x32 of 4 (f = 8).

    genjax train kl_f8 --data.path IMAGES --train.init-from perceptual=features:efficientnet_lite0:FILE
    genjax encode runs/kl_f8 --out latents.npz

IMAGES is a folder, FILE holds the weights of EfficientNet-Lite0; `--model.perceptual None` does without them. The
settings are those of the paper's code for f = 8: widths, blocks, latent, absolute errors, beta, weight 0.5 of the
adversarial term, a discriminator of 70x70 pixels with batch normalization that starts after 50,000 steps, and Adam at
4.5e-6 for each example of a batch. The parameters are those of diffusers' AutoencoderKL, but for its keys' biases,
which have no effect: 83.65 million.

What differs: the perceptual distance is that of EfficientNet-Lite0's layers, not of VGG16's with weights learned from
people's judgements; the adaptive weight is that of the step before; the batch and the number of steps. Not measured,
and the settings were written from memory: that code's file could not be read where this recipe was.
"""

import dataclasses

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Adversarial, Perceptual
from genjax.models.diffusion import KL_F8

experiment = Experiment(
    model=dataclasses.replace(
        KL_F8,
        perceptual=Perceptual("efficientnet_lite0"),
        adversarial=Adversarial(weight=0.5, start=50_000),
        image_shape=(256, 256, 3),
    ),
    data=Data(path="images", image_size=256, channels=3, flip=True, random_crop=True, batch_size=96),
    optim=Optim(learning_rate=4.5e-6 * 96, b1=0.5, b2=0.9),
    train=Train(steps=500_000, precision="bfloat16", eval_every=5000, sample_every=5000, checkpoint_every=5000),
    eval=Eval(examples=2048),
)
