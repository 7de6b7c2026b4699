"""The KL autoencoder of latent diffusion, small: Fashion-MNIST (28x28) as a grid of 7x7 vectors of 4.

    genjax train kl_fashion --data.path fashion_mnist.npz
    genjax encode runs/kl_fashion --out fashion_latents.npz

The path is a copy of the data set as .npz; without it, what `tfds build fashion_mnist` prepared is read. The second
command turns both splits into latents, for latent diffusion to learn.

Not measured.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VAE, SpatialAutoencoder

experiment = Experiment(
    model=VAE(
        network=SpatialAutoencoder(widths=(16, 32, 64), blocks=1),
        latent=4,
        likelihood="mse",
        beta=1e-6,  # the paper's
        iwae_samples=1,
    ),
    data=Data(source="tfds:fashion_mnist", batch_size=32),
    optim=Optim(learning_rate=1e-3, schedule="cosine", warmup_steps=50, clip_norm=100.0),
    train=Train(steps=1500, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(examples=1000, grid=64),
)
