"""Super-resolution of faces from 16x16 to 64x64, after SR3 (Saharia et al. 2021, arXiv:2104.07636) but smaller.

    pip install "genjax-suite[prepare]" && tfds build celeb_a --file_format=array_record
    genjax train superres_celeba64
    genjax sample runs/superres_celeba64 --compare true
    genjax sample runs/superres_celeba64 --init small.png

The third command shows input, result and original of validation images, the last one enlarges a picture of your own.
As SR3 has it, the network sees the input enlarged bicubically beside the noisy image. What differs: SR3 goes to 128x128
and beyond, with BigGAN's residual blocks, skips scaled by sqrt(1/2), more channels, dropout 0.2, 10,000 steps of
warm-up, batch 256 and 1M steps, and is told the level of noise itself; here it is DDPM's network and discrete steps.
`--model.task colorize`, `deblur` or `inpaint` trains the same network for another task.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, UNetConfig

experiment = Experiment(
    model=Diffusion(
        task="super_resolution",
        factor=4,
        process=DDPM(schedule="linear"),
        target="epsilon",
        network=UNetConfig(channels=64, multipliers=(1, 2, 4, 8), blocks=2, attention=(16,), dropout=0.1),
    ),
    data=Data(source="tfds:celeb_a", batch_size=128, image_size=64, flip=True),
    optim=Optim(learning_rate=1e-4, warmup_steps=5000, clip_norm=1.0),
    train=Train(
        steps=300_000,
        precision="bfloat16",
        ema_decay=0.9999,
        eval_every=10_000,
        sample_every=10_000,
        checkpoint_every=10_000,
    ),
    eval=Eval(examples=4096, grid=16),
)
