"""SNGAN with projection, conditional, on CIFAR-10 (Miyato et al. 2018; Miyato & Koyama 2018): FID 13.2 in StudioGAN.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train sngan_cifar10
    genjax train sngan_cifar10 --model.conditional False --model.classes 0

The setting of the authors' code for conditional CIFAR-10 (github.com/pfnet-research/sngan_projection): the hinge loss,
batch 64, five steps of the discriminator for one of the generator, Adam with betas 0 and 0.9 and a rate that falls from
2e-4 to 0 in 50,000 steps of the generator. SNGAN's paper reports FID 21.7 and an Inception score of 8.22 without labels
(arXiv:1802.05957, table 2); StudioGAN (github.com/POSTECH-CVLab/PyTorch-StudioGAN, table and log of September 2020) FID
13.2 and 8.68 with them, after 100,000 steps with betas 0.5 and 0.999. Departure: the generator's batch is 64, not 128.
The networks are as large as StudioGAN's log says, 4,304,387 and 1,055,105 parameters, less 2,304 biases of the
generator that batch norm takes away.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GAN, ResNetGAN

experiment = Experiment(
    model=GAN(
        network=ResNetGAN(),
        conditional=True,
        latent=128,
        objective="hinge",
        spectral_norm=True,
        critic_steps=5,
        image_shape=(32, 32, 3),
        classes=10,
    ),
    data=Data(source="tfds:cifar10", batch_size=64, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.0, b2=0.9, schedule="linear"),
    train=Train(steps=250_000, eval_every=5000, sample_every=5000, checkpoint_every=5000),
    eval=Eval(grid=100),
)
