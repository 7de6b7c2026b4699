"""A first stage of ids for 1,911 emoji of one vendor, at 32x32: FSQ with 8x8 ids of 1,000.

    genjax train vqvae_emoji --data.path emoji64.npz

The file has the array `google`, (N, 64, 64, 3) uint8; another name is given with --data.fields. It is the first stage
of `dalle_emoji`. Not measured.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import FSQ, VQVAE, SpatialAutoencoder

experiment = Experiment(
    model=VQVAE(network=SpatialAutoencoder(widths=(32, 64, 64), blocks=1), quantizer=FSQ((8, 5, 5, 5))),
    data=Data(
        path="emoji64.npz",
        fields=("image=google", "caption=name:text"),
        image_size=32,
        tokenizer="bpe:512",
        context=24,
        batch_size=32,
    ),
    optim=Optim(learning_rate=2e-3, schedule="cosine", warmup_steps=50, clip_norm=1.0),
    train=Train(steps=2000, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(grid=36),
)
