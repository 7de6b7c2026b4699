"""WGAN with clipped weights (Arjovsky et al. 2017) on CIFAR-10, in the paper's setting for other images.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train wgan_cifar10

The paper's setting: DCGAN's networks, batch 64, five steps of the critic for one of the generator, weights in
[-0.01, 0.01], RMSProp with rate 5e-5. It has no number for CIFAR-10. StudioGAN (github.com/POSTECH-CVLab/
PyTorch-StudioGAN, table and log of September 2020) reports FID 159 and an Inception score of 2.58 after 100,000 steps
of the generator, with residual networks and Adam of rate 2e-4: clipping serves deep critics badly.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN

experiment = Experiment(
    model=GAN(
        network=DCGAN(generator_width=128, discriminator_width=64),
        objective="wasserstein",
        latent=128,
        critic_steps=5,
        clip=0.01,
        image_shape=(32, 32, 3),
    ),
    data=Data(source="tfds:cifar10", batch_size=64, flip=True),
    optim=Optim(name="rmsprop", learning_rate=5e-5),
    train=Train(steps=500_000, eval_every=10_000, sample_every=10_000, checkpoint_every=10_000),
    eval=Eval(grid=100),
)
