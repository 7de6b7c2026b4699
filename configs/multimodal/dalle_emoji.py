"""DALL-E on 1,911 emoji of one vendor and their names, at 32x32.

    genjax train vqvae_emoji --data.path emoji64.npz
    genjax train dalle_emoji --data.path emoji64.npz --train.init-from first_stage=runs/vqvae_emoji
    genjax sample runs/dalle_emoji --prompt "red heart" --guidance 2
    genjax eval runs/dalle_emoji --metrics fd kid --features efficientnet_lite0:FILE --guidance 2

The file has the arrays `google`, (N, 64, 64, 3) uint8, and `name`. Not measured.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DALLE, FSQ, VQVAE, SpatialAutoencoder

experiment = Experiment(
    model=DALLE(
        first_stage=VQVAE(network=SpatialAutoencoder(widths=(16, 32, 64), blocks=1), quantizer=FSQ((8, 5, 5, 5))),
        layers=4,
        heads=4,
        width=128,
        dropout=0.1,
    ),
    data=Data(
        path="emoji64.npz",
        fields=("image=google", "caption=name:text"),
        image_size=32,
        tokenizer="bpe:512",
        context=24,
        batch_size=16,
    ),
    optim=Optim(name="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=100, weight_decay=0.1, clip_norm=1.0),
    train=Train(steps=1200, eval_every=400, sample_every=600, checkpoint_every=600),
    eval=Eval(grid=36),
)
