"""StyleGAN2, conditional on the label, with ADA on scikit-learn's handwritten digits (8x8), the networks a CPU's size.

genjax train stylegan2_digits
genjax sample runs/stylegan2_digits --truncation 0.7
genjax sample runs/stylegan2_digits --mode walk --num 160 --out walk.gif
genjax sample runs/stylegan2_digits --project digit.png
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import ADA, StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(latent=32, style=64, mapping_layers=2, label_layers=2, channels=256, most_channels=64),
        conditional=None,
        r1_gamma=0.1,
        augment=ADA(parts=("geometry",), images=100_000),
    ),
    data=Data(source="digits", batch_size=32),
    optim=Optim(learning_rate=2.5e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=3000,
        eval_every=500,
        sample_every=500,
        checkpoint_every=500,
        ema_decay=0.5 ** (32 / 10_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(grid=100),
)
