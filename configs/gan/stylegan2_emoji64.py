"""StyleGAN2 with ADA on 1,911 emoji of one vendor at 64x64, the networks a CPU's size.

    genjax train stylegan2_emoji64 --data.path emoji64.npz

The file has an array `google` (N, 64, 64, 3) uint8; another name is given with --data.fields image=NAME, and a folder
of pictures needs none. For a CPU of many cores or any accelerator. Not trained to the end here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import ADA, StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(latent=128, style=128, mapping_layers=2, channels=1024, most_channels=128),
        r1_gamma=0.1,
        augment=ADA(),
    ),
    data=Data(path="emoji64.npz", fields=("image=google",), flip=True, batch_size=32),
    optim=Optim(learning_rate=2.5e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=20_000,
        eval_every=1000,
        sample_every=1000,
        checkpoint_every=1000,
        ema_decay=0.5 ** (32 / 10_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(grid=64),
)
