"""InfoGAN (Chen et al. 2016) on scikit-learn's handwritten digits (8x8): one code finds the ten classes by itself.

    genjax train infogan_digits
    genjax sample runs/infogan_digits --mode walk --code 0

Time and result (jax 0.10.2, 2026-11-26, 2 cores AMD EPYC that others used as well, one seed): 123 s of CPU time for the
whole command; cluster accuracy 0.68, 0.72, 0.78 after each 1000 steps on the 297 digits held out; fd 1.10
(real digits 0.87), kid 0.006 by `genjax eval RUN --metrics fd kid`. Most values of code 0
draw one digit; 8 and 2 share one.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, InfoGAN

experiment = Experiment(
    model=InfoGAN(network=DCGAN(generator_width=32, discriminator_width=32), latent=16),
    data=Data(source="digits", batch_size=64),
    optim=Optim(learning_rate=5e-4, b1=0.5),
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
