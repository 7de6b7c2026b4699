"""CUT on digits of two kinds: handwritten ones become printed ones, with one generator and no cycle.

    genjax train cut_digits

Not trained here yet.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import CUT, PatchGAN, ResNet
from genjax.orders import Unpaired

experiment = Experiment(
    model=CUT(generator=ResNet(width=16, blocks=2), discriminator=PatchGAN(width=32, layers=1), patches=64, width=64),
    data=Data(
        source="printed_digits",
        fields=("image_a=handwritten", "image_b=printed"),
        order=Unpaired(),
        batch_size=8,
    ),
    optim=Optim(learning_rate=2e-4, b1=0.5, schedule="linear"),
    train=Train(steps=1500, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(grid=48),
)
