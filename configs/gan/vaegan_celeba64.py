"""VAE-GAN (Larsen et al. 2016) on aligned CelebA faces at 64x64, with the paper's RMSProp; read through TFDS.

    pip install "genjax-suite[prepare]" && tfds build celeb_a --file_format=array_record
    genjax train vaegan_celeba64

Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, VAEGAN, ConvAutoencoder

experiment = Experiment(
    model=VAEGAN(
        encoder=ConvAutoencoder(widths=(64, 128, 256)),
        network=DCGAN(generator_width=64, discriminator_width=32),
        latent=128,
        gamma=1e-6,  # as in the authors' code, whose features are summed too
        layer=-2,
    ),
    data=Data(source="tfds:celeb_a", batch_size=64, image_size=64, flip=True),
    optim=Optim(name="rmsprop", learning_rate=3e-4),
    train=Train(steps=60_000, eval_every=5000, sample_every=2000, checkpoint_every=5000),
    eval=Eval(examples=4000, grid=64),
)
