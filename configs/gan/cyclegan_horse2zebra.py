"""CycleGAN on horses and zebras at 256 x 256, in the setting of Zhu et al. 2017 (arXiv:1703.10593, section 7).

    genjax train cyclegan_horse2zebra --data.path horse2zebra
    genjax sample runs/cyclegan_horse2zebra --direction AtoB --path my_horses/ --out my_zebras/

The folder has trainA, trainB, testA and testB, as the authors' data sets come. Without --data.path it is the copy of
TensorFlow Datasets (`tfds build cycle_gan/horse2zebra --file_format=array_record`).

The paper's: one picture a step, 200 epochs of 1,334 pictures, the rate constant for half of them and then in a line to
0. Departure: pictures are mirrored, but not cropped from 286 x 286 pixels. Not trained here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import CycleGAN, PatchGAN, ResNet
from genjax.orders import Unpaired

experiment = Experiment(
    model=CycleGAN(generator=ResNet(blocks=9), discriminator=PatchGAN(), shape=(256, 256, 3)),
    data=Data(
        source="tfds:cycle_gan/horse2zebra", order=Unpaired(), image_size=256, channels=3, flip=True, batch_size=1
    ),
    optim=Optim(learning_rate=2e-4, b1=0.5, schedule="linear", hold_steps=133_400),
    train=Train(steps=266_800, eval_every=13_340, sample_every=13_340, checkpoint_every=13_340),
    eval=Eval(grid=16),
)
