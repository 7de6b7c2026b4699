"""DALL-E on 1,911 emoji of one vendor and their names, at 32x32.

    genjax train vqvae_emoji --data.path emoji64.npz
    genjax train dalle_emoji --data.path emoji64.npz --train.init-from first_stage=runs/vqvae_emoji
    genjax sample runs/dalle_emoji --prompt "red heart" --guidance 2
    genjax eval runs/dalle_emoji --metrics fd kid --features efficientnet_lite0:FILE --guidance 2

The file has the arrays `google`, (N, 64, 64, 3) uint8, and `name`.

Time and result: 6.1 minutes of CPU time for the second command (19 minutes beside many other programs on the 2 cores,
AMD EPYC, jax 0.10.2, 2026-11-27), after four for the first: 11 passes over the pictures, and far from its end. On the
191 held out 2.98 nats an id (`crossmodal_emoji` has 3.21) and 3.70 a token of their names. Of 36 pictures looked at,
drawn for names held out, flags are rectangles of one to three colours, not the right ones; some faces are yellow discs
with darker spots, some persons have the outline of one; no other thing is recognized. One seed.

`crossmodal_emoji` looks pictures up among the 191 names, and names among the pictures: R@1, R@5, R@10 in percent, by a
script that is not kept. It is the judge of its own pictures too.

                               picture to name     name to picture
    drawn, --guidance 1        2.6  10.5  16.8     1.6  10.5  21.5
    drawn, --guidance 2        1.0  10.5  19.4     1.6  12.0  19.9
    the same, shuffled         0.5   1.6   2.6     0.5   2.1   3.7
    real                       6.3  17.3  25.1     5.2  16.2  26.2
    its own, --guidance 2      5.8  23.6  38.7     4.2  23.6  35.6

With guidance 2, over EfficientNet-Lite0's features with ImageNet weights, fd191 is 3.02 (2.64 to 3.39) and kid191 0.042
(-0.032 to 0.117); 191 random real ones of the training split have 3.06 and 0.056: so few pictures tell nothing apart.
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
