"""DCGAN (Radford et al. 2015) on aligned CelebA faces at 64x64, with the paper's channels; read through TFDS.

    pip install "genjax-suite[prepare]" && tfds build celeb_a --file_format=array_record
    genjax train dcgan_celeba64

The paper's generator: 1024 channels at 4x4, 128 at 32x32. Its faces were others, so no number is quoted.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN

experiment = Experiment(
    model=GAN(network=DCGAN(generator_width=128, discriminator_width=64), latent=100),
    data=Data(source="tfds:celeb_a", batch_size=128, image_size=64, flip=True),
    optim=Optim(learning_rate=2e-4, b1=0.5),
    train=Train(steps=40_000, eval_every=4000, sample_every=2000, checkpoint_every=4000),
    eval=Eval(examples=4000, grid=64),
)
