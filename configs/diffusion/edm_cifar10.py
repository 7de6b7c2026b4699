"""EDM on CIFAR-10, conditional on the label, as published (Karras et al. 2022, arXiv:2206.00364): 55.7M parameters.

    pip install "genjax-suite[prepare]" && tfds build cifar10 --file_format=array_record
    genjax train edm_cifar10

The paper's configuration F with the network DDPM++, setting by setting (section 5, appendix F, its code): process,
preconditioning, weighting and levels of noise; Adam at 0.001, reached over the first 10M images; batch 512; 200M
images; an average with a half-life of 0.5M images, in the beginning of a twentieth of those seen; dropout 0.13;
augmentation with probability 0.12, of which the network is told. It reaches FID 1.79 by 18 steps of Heun's method, 35
evaluations, estimates not clipped. `--model.conditional false` is its unconditional model (FID 1.97),
`--model.network.ncsn true` has NCSN++ instead (1.79 and 1.98). What differs: gradients that are not finite stop the run
here, in the paper's code they become 0. Its loss is a sum over pixels and here a mean; Adam's epsilon makes up for it.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import EDM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, SongUNetConfig

experiment = Experiment(
    model=Diffusion(
        process=EDM(),
        target="edm",
        label_dropout=0.0,
        augment=0.12,
        network=SongUNetConfig(channels=128, multipliers=(2, 2, 2), blocks=4, attention=(16,), dropout=0.13),
    ),
    data=Data(source="tfds:cifar10", batch_size=512),
    optim=Optim(learning_rate=1e-3, warmup_steps=10_000_000 // 512, eps=1e-8 / (32 * 32 * 3)),
    train=Train(
        steps=200_000_000 // 512,
        ema_decay=0.5 ** (512 / 500_000),
        ema_ramp="edm",
        eval_every=10_000,
        sample_every=10_000,
        checkpoint_every=10_000,
    ),
    eval=Eval(grid=64),
)
