"""R3GAN on FFHQ at 256x256, in the setting of Huang et al. 2024 (arXiv:2501.05441): FID 2.75 in the paper.

    genjax train r3gan_ffhq256 --data.path ffhq/

By path: a folder with the 70,000 pictures of FFHQ, of any size. The authors' preset: batch 256, over the first 20
million images gamma from 150 to 15, rate from 2e-4 to 5e-5, and p of the augmentation from 0 to 0.3, all by half a
cosine. Departures: Adam's beta2 stays at 0.99, where it rises from 0.9, and the average's half-life of 500,000 images
has another ramp. Not trained here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import R3GAN, R3GANConfig, RampedAugment

RAMP = 20_000_000 // 256  # steps

experiment = Experiment(
    model=R3GAN(
        network=R3GANConfig(widths=(768, 768, 768, 768, 384, 192, 96), groups=(96, 96, 96, 96, 48, 24, 12)),
        gamma=150.0,
        gamma_steps=RAMP,
        augment=RampedAugment(("blit", "geometry", "colour", "cutout"), scale=0.5, final=0.3, steps=RAMP),
        image_shape=(256, 256, 3),
    ),
    data=Data(path="ffhq", batch_size=256, image_size=256, channels=3, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.0, b2=0.99, schedule="cosine", schedule_steps=RAMP, final_learning_rate=5e-5),
    train=Train(
        steps=400_000,
        eval_every=5000,
        sample_every=5000,
        checkpoint_every=5000,
        ema_decay=0.5 ** (256 / 500_000),
        ema_ramp="edm",
        ema_entries=("generator",),
    ),
    eval=Eval(examples=4000, grid=32),
)
