"""A least squares GAN (Mao et al. 2017) on scikit-learn's handwritten digits (8x8).

    genjax train lsgan_digits

Time and result (jax 0.10.2, 2026-11-26, 2 cores AMD EPYC that others used as well): 128 s of CPU time for the whole
command; sliced Wasserstein distance 16.6 (x 1000, 297 generated against the 297 digits held out).
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN

experiment = Experiment(
    model=GAN(
        network=DCGAN(generator_width=32, discriminator_width=32),
        objective="least-squares",
        latent=32,
    ),
    data=Data(source="digits", batch_size=64),
    optim=Optim(learning_rate=3e-4, b1=0.5),
    train=Train(
        steps=3000,
        eval_every=1000,
        sample_every=1000,
        checkpoint_every=1000,
        ema_decay=0.999,
        ema_entries=("generator",),
    ),
    eval=Eval(grid=100),
)
