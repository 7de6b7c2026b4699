"""StyleGAN2 with ADA, conditional, on CIFAR-10, in the setting of Karras et al. 2020 (arXiv:2006.06676, appendix D).

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train stylegan2_cifar10

The paper's configuration for CIFAR-10: a discriminator without skips, no style mixing, no path length penalty, 512
channels throughout, gamma 0.01, minibatch deviation over 32 images, a half-life of 500,000 images; it reaches FID 2.42
after 100 million images. Departures: float32, or bfloat16 with --train.precision, where it has float16 at the highest
resolutions. Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import ADA, StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(mapping_layers=2, discriminator="plain", group=32),
        conditional=True,
        mixing=0.0,
        path_weight=0.0,
        r1_gamma=0.01,
        augment=ADA(),
        image_shape=(32, 32, 3),
        classes=10,
    ),
    data=Data(source="tfds:cifar10", batch_size=64),
    optim=Optim(learning_rate=2.5e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=1_562_500,
        eval_every=15_625,
        sample_every=15_625,
        checkpoint_every=15_625,
        ema_decay=0.5 ** (64 / 500_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(grid=100),
)
