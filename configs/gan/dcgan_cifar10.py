"""DCGAN (Radford et al. 2015) on CIFAR-10, in the setting of StudioGAN's table.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train dcgan_cifar10

StudioGAN (github.com/POSTECH-CVLab/PyTorch-StudioGAN, table and log of September 2020) reports FID 49.0 and an
Inception score of 6.64, the best of its evaluations: after 42,000 of 200,000 steps of the generator, and FID 137 at the
end. The paper has no such number. Setting: batch 64, two steps of the discriminator for one of the generator, Adam with
rate 2e-4 and betas 0.5 and 0.999. Departures: DCGAN's networks with the layers of this suite, and first weights from
N(0, 0.02), where StudioGAN's are orthogonal.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN

experiment = Experiment(
    model=GAN(
        network=DCGAN(generator_width=128, discriminator_width=64),
        latent=128,
        critic_steps=2,
        image_shape=(32, 32, 3),
    ),
    data=Data(source="tfds:cifar10", batch_size=64, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.5),
    train=Train(steps=400_000, eval_every=4000, sample_every=4000, checkpoint_every=4000),
    eval=Eval(grid=100),
)
