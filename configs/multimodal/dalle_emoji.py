"""DALL-E on 1,911 emoji of one vendor and their names, at 32x32.

    genjax train vqvae_emoji --data.path emoji64.npz
    genjax encode runs/vqvae_emoji --out emoji_codes
    genjax train dalle_emoji --data.path emoji_codes --train.init-from first_stage=runs/vqvae_emoji
    genjax sample runs/dalle_emoji --prompt "red heart" --guidance 2

The file has the arrays `google`, (N, 64, 64, 3) uint8, and `name`. Not measured.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DALLE, FSQ, VQVAE, SpatialAutoencoder

experiment = Experiment(
    model=DALLE(
        first_stage=VQVAE(network=SpatialAutoencoder(widths=(32, 64, 64), blocks=1), quantizer=FSQ((8, 5, 5, 5))),
        layers=6,
        heads=6,
        width=192,
        dropout=0.1,
    ),
    data=Data(path="emoji_codes", batch_size=32),
    optim=Optim(name="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=100, weight_decay=0.1, clip_norm=1.0),
    train=Train(steps=5000, eval_every=1000, sample_every=1000, checkpoint_every=1000),
    eval=Eval(grid=36),
)
