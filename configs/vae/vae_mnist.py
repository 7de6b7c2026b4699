"""A convolutional VAE on dynamically binarized MNIST (Burda et al. 2015), read through TFDS.

    pip install "genjax-suite[prepare]" && tfds build mnist --file_format=array_record
    genjax train vae_mnist

Not measured: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VAE, ConvAutoencoder

experiment = Experiment(
    model=VAE(network=ConvAutoencoder(widths=(32, 64)), latent=32, binarization="dynamic", iwae_samples=64),
    data=Data(source="tfds:mnist", batch_size=64),
    optim=Optim(learning_rate=1e-3, schedule="cosine", warmup_steps=500),
    train=Train(steps=40_000, eval_every=4000, sample_every=4000, checkpoint_every=4000, ema_decay=0.999),
    eval=Eval(examples=1000),
)
