"""InfoGAN (Chen et al. 2016) on MNIST, with the codes, the noise and the learning rates of appendix C.1.

    pip install "genjax-suite[prepare]" && tfds build mnist --file_format=array_record
    genjax train infogan_mnist

The networks are DCGAN's; the paper's have a dense layer of 1,024 units more. Not measured here: the data set could not
be downloaded where this recipe was written.
"""

from genjax.experiment import Data, EntryOptim, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, InfoGAN

experiment = Experiment(
    model=InfoGAN(network=DCGAN(generator_width=64, discriminator_width=64), latent=62),
    data=Data(source="tfds:mnist", batch_size=128),
    optim=Optim(learning_rate=2e-4, b1=0.5, entries={"generator": EntryOptim(learning_rate=1e-3, b1=0.5)}),
    train=Train(steps=24_000, eval_every=2000, sample_every=2000, checkpoint_every=2000),
    eval=Eval(examples=10_000, grid=100),
)
