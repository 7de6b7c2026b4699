"""BigGAN (Brock et al. 2018, arXiv:1809.11096) on CIFAR-10, in StudioGAN's setting: FID 8.03 there, 14.73 in the paper.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train biggan_cifar10

StudioGAN's setting (github.com/POSTECH-CVLab/PyTorch-StudioGAN, BigGAN-Mod in its table and log of January 2021): 96
channels times 4 and 2, attention at 16x16, a latent of 80 in four pieces, a shared embedding of 128, spectral norms and
orthogonal first weights in both networks, the hinge loss, batch 64, five steps of the discriminator for one of the
generator, 100,000 of those, Adam with rate 2e-4 and betas 0.5 and 0.999, an averaged generator of decay 0.9999. It
reports FID 8.03 and an Inception score of 9.75; the paper 14.73 and 9.22. Departure: the average ramps up from the
first step, where theirs begins at the 1000th.
The networks are as large as that log says, 9,416,196 and 2,415,170 parameters, less 3,456 biases of the generator that
batch norm takes away.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GAN, ResNetGAN

experiment = Experiment(
    model=GAN(
        network=ResNetGAN(
            generator_widths=(384, 384, 384, 384),
            discriminator_widths=(192, 192, 192, 192),
            attention=(16,),
            shared=128,
            hierarchical=True,
            init="orthogonal",
        ),
        conditional=True,
        latent=80,
        objective="hinge",
        spectral_norm=True,
        generator_spectral_norm=True,
        critic_steps=5,
        image_shape=(32, 32, 3),
        classes=10,
    ),
    data=Data(source="tfds:cifar10", batch_size=64, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.5),
    train=Train(
        steps=500_000,
        eval_every=10_000,
        sample_every=10_000,
        checkpoint_every=10_000,
        ema_decay=0.9999,
        ema_entries=("generator",),
    ),
    eval=Eval(grid=100),
)
