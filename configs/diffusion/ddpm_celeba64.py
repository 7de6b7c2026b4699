"""DDPM on aligned CelebA faces at 64x64, with parts of several papers and the settings of none.

The U-Net is ADM's (Dhariwal & Nichol 2021, arXiv:2105.05233), of 128 channels and 2 blocks a level instead of 192 and
3, and without attention at 32; cosine schedule (Nichol & Dhariwal 2021), but a fixed variance; v target (Salimans & Ho
2022), min-SNR weighting (Hang et al. 2023). Faces are the central square of the 178 x 218 pixels.

    pip install "genjax-suite[prepare]" && tfds build celeb_a --file_format=array_record
    genjax train ddpm_celeba64

Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, UNetConfig

experiment = Experiment(
    model=Diffusion(
        process=DDPM(schedule="cosine"),
        target="v",
        weighting="min_snr",
        network=UNetConfig(
            channels=128,
            multipliers=(1, 2, 3, 4),
            blocks=2,
            attention=(16, 8),
            head_channels=64,
            scale_shift=True,
            resample_blocks=True,
        ),
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
    eval=Eval(examples=4096, grid=64),
)
