"""StyleGAN2, conditional on the label, with ADA on scikit-learn's handwritten digits (8x8), the networks a CPU's size.

genjax train stylegan2_digits
genjax sample runs/stylegan2_digits --truncation 0.7
genjax sample runs/stylegan2_digits --mode walk --num 160 --out walk.gif
genjax sample runs/stylegan2_digits --project digit.png --label 3

Not measured at these settings. With path lengths, mixing and gamma 0.1, 3,000 steps gave one digit a class with hardly
any variety (looked at, 2026-11-26): each class was read, but all its samples were the same.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import ADA, StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(
            latent=32,
            style=64,
            mapping_layers=2,
            label_layers=2,
            mapping_rate=0.1,
            channels=256,
            most_channels=64,
        ),
        conditional=None,
        r1_gamma=1.0,
        r1_every=4,
        mixing=0.0,  # as NVIDIA's configuration for small images has it, and without path lengths
        path_weight=0.0,
        augment=ADA(parts=("geometry",), images=100_000),
    ),
    data=Data(source="digits", batch_size=32),
    optim=Optim(learning_rate=1e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=5000,
        eval_every=1000,
        sample_every=1000,
        checkpoint_every=1000,
        ema_decay=0.5 ** (32 / 10_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(grid=100),
)
