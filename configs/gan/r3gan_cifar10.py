"""R3GAN, conditional, on CIFAR-10, in the setting of Huang et al. 2024 (arXiv:2501.05441): FID 1.96 in the paper.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train r3gan_cifar10

The authors' preset: batch 512, over the first 20 million images gamma from 0.05 to 0.005, rate from 2e-4 to 5e-5, and
p of the augmentation from 0 to 0.55, all by half a cosine. Departures: Adam's beta2 stays at 0.99, where it rises from
0.9, and the average has a half-life of 5 million images with another ramp.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import R3GAN, R3GANConfig, RampedAugment

RAMP = 20_000_000 // 512  # steps

experiment = Experiment(
    model=R3GAN(
        network=R3GANConfig(),
        conditional=True,
        gamma=0.05,
        gamma_steps=RAMP,
        augment=RampedAugment(("blit", "geometry", "colour", "cutout"), scale=0.5, final=0.55, steps=RAMP),
        image_shape=(32, 32, 3),
        classes=10,
    ),
    data=Data(source="tfds:cifar10", batch_size=512, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.0, b2=0.99, schedule="cosine", schedule_steps=RAMP, final_learning_rate=5e-5),
    train=Train(
        steps=400_000,
        eval_every=5000,
        sample_every=5000,
        checkpoint_every=5000,
        ema_decay=0.5 ** (512 / 5_000_000),
        ema_ramp="edm",
        ema_entries=("generator",),
    ),
    eval=Eval(grid=100),
)
