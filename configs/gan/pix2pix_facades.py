"""pix2pix on facades at 256 x 256, photographs of drawings, in the setting of Isola et al. 2017 (arXiv:1611.07004).

    genjax train pix2pix_facades --data.path facades
    genjax sample runs/pix2pix_facades --path my_drawings/ --out my_photographs/

The folder has trainA, trainB, valA and valB (or testA and testB); files of one name are a pair, here of a photograph
(A) and a drawing (B). Where the halves of one file are a pair, as in the authors' copies, Pillow parts them:
`Image.open(file).crop((0, 0, 256, 256)).save(f"trainA/{name}.png")`, and (256, 0, 512, 256) for trainB.

The paper's: one picture a step, 200 epochs of 400 pairs (appendix 6.2), the rate constant for half of them and then in
a line to 0, as the authors' later code has it. Departures: no jitter from 286 x 286 pixels, but mirroring; instance
norm without scales in place of batch norm over one picture. Not trained here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import PatchGAN, Pix2Pix, PixUNet
from genjax.orders import Epochs

experiment = Experiment(
    model=Pix2Pix(
        generator=PixUNet(),
        discriminator=PatchGAN(),
        direction="BtoA",
        source=(256, 256, 3),
        target=(256, 256, 3),
    ),
    data=Data(path="facades", order=Epochs(), image_size=256, channels=3, flip=True, batch_size=1),
    optim=Optim(learning_rate=2e-4, b1=0.5, schedule="linear", hold_steps=40_000),
    train=Train(steps=80_000, eval_every=4000, sample_every=4000, checkpoint_every=4000),
    eval=Eval(grid=16, metrics=("pixels",)),
)
