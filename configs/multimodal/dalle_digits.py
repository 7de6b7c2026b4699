"""DALL-E, tiny: pictures (8x16) of one or two handwritten digits from captions such as "four next to seven".

    genjax train vqvae_digits
    genjax train dalle_digits --train.init-from first_stage=runs/vqvae_digits
    genjax sample runs/dalle_digits --prompt "four next to seven" --guidance 2
    genjax eval runs/dalle_digits --metrics caption fd --eval.set-size 600 --guidance 2

Time and result: 2.1 minutes of CPU time for the second command (7.4 minutes beside many other programs on the 2 cores,
AMD EPYC, jax 0.10.2, 2026-11-26), after one for the first. Of 600 pictures for the captions held out, 97.0% show what
their caption says, in both halves (95% interval 95.5 to 98.5), as the judge sees it: the shipped classifier of
`features_digits`, which is right on 98.3% of the real pictures themselves. Without guidance 78.7% do (75.5 to 81.8).
The Fréchet distance over the judge's features is 0.82 with guidance and 1.29 without; real training pictures are at
2.19, as they have other captions and digits. One seed.

Planned for four TPUs (`genjax plan dalle_digits --topology v5e:2x2 --quick`, jax 0.10.2, 2026-11-27): 32.4 MiB a
device, at least 0.125 ms a step.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DALLE, VQVAE, SpatialAutoencoder, VectorQuantizer

first_stage = VQVAE(network=SpatialAutoencoder(widths=(16, 32), blocks=1), quantizer=VectorQuantizer(size=64, width=8))

experiment = Experiment(
    model=DALLE(first_stage=first_stage, layers=3, heads=4, width=64, dropout=0.1),
    data=Data(source="captioned_digits", tokenizer="bpe:320", context=8, batch_size=32),
    optim=Optim(name="adamw", learning_rate=2e-3, schedule="cosine", warmup_steps=100, weight_decay=0.1, clip_norm=1.0),
    train=Train(steps=1500, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(grid=64),
)
