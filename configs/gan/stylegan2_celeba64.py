"""StyleGAN2 on aligned CelebA faces at 64x64; read through TFDS.

    pip install "genjax-suite[prepare]" && tfds build celeb_a --file_format=array_record
    genjax train stylegan2_celeba64

Settings follow NVIDIA's rule for any data set (`--cfg auto`): half the channels below 512 pixels, two mapping layers,
gamma 0.0002 side^2 / batch, a half-life of 20,000 images. It has no published number for this size.
Not trained here: the data set could not be downloaded where this recipe was written.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import StyleGAN2, StyleGAN2Config

experiment = Experiment(
    model=StyleGAN2(
        network=StyleGAN2Config(mapping_layers=2, channels=16384),
        r1_gamma=0.0128,
        image_shape=(64, 64, 3),
    ),
    data=Data(source="tfds:celeb_a", batch_size=64, image_size=64, flip=True),
    optim=Optim(learning_rate=2.5e-3, b1=0.0, b2=0.99),
    train=Train(
        steps=390_000,
        eval_every=10_000,
        sample_every=5000,
        checkpoint_every=10_000,
        ema_decay=0.5 ** (64 / 20_000),
        ema_ramp="edm",
        ema_entries=("mapping", "synthesis"),
    ),
    eval=Eval(examples=4000, grid=64),
)
