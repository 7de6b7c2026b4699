"""An L2 VAE with the network of Stable Diffusion's first stage: 83.65M parameters, 256x256 to 32x32 of 4 (f = 8).

    genjax train kl_f8 --data.path IMAGES
    genjax encode runs/kl_f8 --out latents.npz

IMAGES is a folder. Beta is the paper's (Rombach et al. 2022, appendix G); widths, blocks, latent and the learning rate
of 4.5e-6 for each example of a batch are those of its code. The parameters are those of diffusers' AutoencoderKL, but
for its keys' biases, which have no effect. The paper's loss has absolute errors, a perceptual and an adversarial term;
this one has squared errors with one learned variance and nothing else, so expect blurred reconstructions. Not measured.
"""

import dataclasses

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models.diffusion import KL_F8

experiment = Experiment(
    model=dataclasses.replace(KL_F8, image_shape=(256, 256, 3)),
    data=Data(path="images", image_size=256, channels=3, flip=True, random_crop=True, batch_size=96),
    optim=Optim(learning_rate=4.5e-6 * 96, b1=0.5, b2=0.9),
    train=Train(steps=500_000, precision="bfloat16", eval_every=5000, sample_every=5000, checkpoint_every=5000),
    eval=Eval(examples=2048),
)
