"""WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028) on CIFAR-10: Inception score 7.86 in the paper, without labels.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train wgan_gp_cifar10

The paper's setting: residual networks of 128 channels, batch norm in the generator alone, lambda 10, batch 64, five
steps of the critic for one of the generator, Adam with betas 0 and 0.9 and a rate that falls from 2e-4 to 0 in 100,000
steps of the generator. StudioGAN (github.com/POSTECH-CVLab/PyTorch-StudioGAN, table and log of September 2020) reports
FID 25.9 and an Inception score of 7.46 with 256 channels in the generator and batch norm in both. Departures from the
paper: the generator's batch is 64, not 128, the critic sums over positions where it took means, and the blocks are
SNGAN's.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GAN, ResNetGAN

experiment = Experiment(
    model=GAN(
        network=ResNetGAN(generator_widths=(128, 128, 128, 128)),
        objective="wasserstein",
        latent=128,
        critic_steps=5,
        gradient_penalty=10.0,
        image_shape=(32, 32, 3),
    ),
    data=Data(source="tfds:cifar10", batch_size=64, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.0, b2=0.9, schedule="linear"),
    train=Train(steps=500_000, eval_every=10_000, sample_every=10_000, checkpoint_every=10_000),
    eval=Eval(grid=100),
)
