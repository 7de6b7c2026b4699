"""WGAN-GP (Gulrajani et al. 2017) on scikit-learn's handwritten digits (8x8), with the paper's lambda, critic and Adam.

genjax train wgan_gp_digits
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GAN, MLPGAN

experiment = Experiment(
    model=GAN(
        network=MLPGAN(generator_width=256, discriminator_width=256, discriminator_norm="none"),
        objective="wasserstein",
        latent=32,
        critic_steps=5,
        gradient_penalty=10.0,
    ),
    data=Data(source="digits", batch_size=64),
    optim=Optim(learning_rate=5e-4, b1=0.0, b2=0.9),
    train=Train(
        steps=15_000,
        eval_every=5000,
        sample_every=5000,
        checkpoint_every=5000,
        ema_decay=0.999,
        ema_entries=("generator",),
    ),
    eval=Eval(grid=100),
)
