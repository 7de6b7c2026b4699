"""DCGAN (Radford et al. 2015) on MNIST, with the paper's optimizer and batch size; read through TFDS.

    pip install "genjax-suite[prepare]" && tfds build mnist --file_format=array_record
    genjax train dcgan_mnist

Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN

experiment = Experiment(
    model=GAN(network=DCGAN(generator_width=64, discriminator_width=64), latent=100),
    data=Data(source="tfds:mnist", batch_size=128),
    optim=Optim(learning_rate=2e-4, b1=0.5),
    train=Train(steps=12_000, eval_every=2000, sample_every=1000, checkpoint_every=2000),
    eval=Eval(examples=2000, grid=64),
)
