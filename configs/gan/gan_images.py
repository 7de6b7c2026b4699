"""A GAN on your own pictures: some hundred in a folder are enough to begin with.

    genjax train gan_images --data.path photos/                 (sub-folders are classes)
    genjax sample runs/gan_images --label NAME

Pictures become 32x32, and are mirrored at random: `--data.flip false` where left and right matter, as for letters.
`--data.image-size 64` takes four times as long. DiffAugment (Zhao et al. 2020) keeps the discriminator from learning
few pictures by heart: it changes the colours of all that is judged, moves it and cuts parts out. From some ten
thousand pictures on, do without: `--model.augment None`.

Not trained to the end here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DCGAN, GAN, DiffAugment

experiment = Experiment(
    model=GAN(
        network=DCGAN(generator_width=32, discriminator_width=32, discriminator_norm="none"),
        conditional=None,
        latent=64,
        r1_gamma=0.5,
        r1_every=8,
        augment=DiffAugment(),
    ),
    data=Data(path="photos", image_size=32, channels=3, flip=True, batch_size=32),
    optim=Optim(learning_rate=4e-4, b1=0.5),
    train=Train(
        steps=5000,
        eval_every=1000,
        sample_every=1000,
        checkpoint_every=1000,
        ema_decay=0.998,
        ema_entries=("generator",),
    ),
    eval=Eval(grid=36),
)
