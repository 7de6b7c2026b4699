"""R3GAN, conditional on the label, on scikit-learn's handwritten digits (8x8), the networks a CPU's size.

genjax train r3gan_digits
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import R3GAN, R3GANConfig

experiment = Experiment(
    model=R3GAN(
        network=R3GANConfig(widths=(64, 32), groups=(8, 4), blocks=1), conditional=None, gamma=0.5, gamma_steps=3000
    ),
    data=Data(source="digits", batch_size=32),
    optim=Optim(learning_rate=1e-3, b1=0.0, b2=0.99, schedule="cosine", final_learning_rate=2e-4),
    train=Train(
        steps=3000,
        eval_every=500,
        sample_every=500,
        checkpoint_every=500,
        ema_decay=0.998,
        ema_ramp="edm",
        ema_entries=("generator",),
    ),
    eval=Eval(grid=100),
)
