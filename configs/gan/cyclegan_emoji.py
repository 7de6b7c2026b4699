"""CycleGAN on two unpaired sets of icons: every icon of one vendor in the style of the other.

    genjax train cyclegan_emoji --data.path emoji64.npz
    genjax sample runs/cyclegan_emoji --direction BtoA

The file has the arrays `google` and `twitter`, (N, 64, 64, 3) uint8; other names are given with --data.fields, and a
folder with trainA and trainB needs none. Pictures are reduced to 32 x 32 pixels, the networks to a CPU's size.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import CycleGAN, PatchGAN, ResNet
from genjax.orders import Unpaired

experiment = Experiment(
    model=CycleGAN(generator=ResNet(width=16, blocks=4), discriminator=PatchGAN(width=32, layers=2)),
    data=Data(
        path="emoji64.npz",
        fields=("image_a=google", "image_b=twitter"),
        order=Unpaired(),
        image_size=32,
        batch_size=8,
    ),
    optim=Optim(learning_rate=2e-4, b1=0.5, schedule="linear"),
    train=Train(steps=4000, eval_every=1000, sample_every=1000, checkpoint_every=1000, ema_decay=0.999),
    eval=Eval(grid=24),
)
