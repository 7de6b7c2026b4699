"""Flow matching with straight paths on CIFAR-10 (Lipman et al. 2022; Liu et al. 2022), sampled by Euler's method.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train flow_cifar10

With adaptive solvers and other networks Lipman et al. report FID 6.35 (142 evaluations), Liu et al. 2.58 (127); the
network here is DDPM's.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import Flow
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, UNetConfig

experiment = Experiment(
    model=Diffusion(
        process=Flow(),
        target="velocity",
        conditional=False,
        network=UNetConfig(channels=128, multipliers=(1, 2, 2, 2), blocks=2, attention=(16,), dropout=0.1),
    ),
    data=Data(source="tfds:cifar10", batch_size=128, flip=True),
    optim=Optim(learning_rate=2e-4, warmup_steps=5000, clip_norm=1.0),
    train=Train(
        steps=400_000,
        ema_decay=0.9999,
        eval_every=10_000,
        sample_every=10_000,
        checkpoint_every=10_000,
    ),
    eval=Eval(grid=64),
)
