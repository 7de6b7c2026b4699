"""StyleGAN2 on FFHQ at 256x256, in the setting of Karras et al. 2020 (arXiv:2006.06676: its baseline at this size).

    genjax train stylegan2_ffhq256 --data.path ffhq/

By path: a folder with the 70,000 pictures of FFHQ, of any size. Half the channels of configuration F, batch 64, Adam at
0.0025, gamma 1, minibatch deviation over 8 images, a half-life of 20,000 images, 25 million images; with
--train.precision bfloat16 for a TPU. Huang et al. 2024 (arXiv:2501.05441) quote FID 3.78 for StyleGAN2. Departure: path
lengths of the whole batch, where NVIDIA's code takes half of it. Not trained here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(channels=16384, group=8),
        r1_gamma=1.0,
        image_shape=(256, 256, 3),
    ),
    data=Data(path="ffhq", batch_size=64, image_size=256, channels=3, flip=True),
    optim=Optim(learning_rate=2.5e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=390_625,
        eval_every=5000,
        sample_every=5000,
        checkpoint_every=5000,
        ema_decay=0.5 ** (64 / 20_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(examples=4000, grid=32),
)
