"""A small U-Net on Fashion-MNIST (28x28), conditional on the label, that a laptop's CPU trains in minutes.

    genjax train ddpm_fashion --data.path fashion_mnist.npz

The path is a copy of the data set as .npz; without it, what `tfds build fashion_mnist` prepared is read.

Time and result: 1000 steps, 15 minutes of CPU time for the whole command (17 minutes beside other programs on the
2 cores, AMD EPYC, jax 0.10.2, 2026-11-26). On the first 1024 test images the validation loss is 0.156, the variational
bound 4.00 +- 0.06 bits a dimension (its standard error). Shirts, trousers, coats, shoes and bags are recognized; their
texture is rough. One seed. A shorter run, `--train.steps 300 --eval.examples 256 --eval.grid 40`, took 5 min 46 s with
another job beside in its first half: loss 0.184 on 256 test images; trousers, pullovers, coats and boots are
recognized, sandals are not yet.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, UNetConfig

experiment = Experiment(
    model=Diffusion(
        process=DDPM(schedule="cosine"),
        target="v",
        network=UNetConfig(channels=16, multipliers=(1, 2, 4), blocks=1, attention=(7,), heads=2),
    ),
    data=Data(source="tfds:fashion_mnist", batch_size=64),
    optim=Optim(learning_rate=2e-3, schedule="cosine", warmup_steps=50, clip_norm=1.0),
    train=Train(steps=1000, eval_every=500, sample_every=500, checkpoint_every=500, ema_decay=0.995),
    eval=Eval(examples=1024, grid=64),
)
