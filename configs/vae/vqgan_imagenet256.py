"""VQGAN on ImageNet (Esser et al. 2021, arXiv:2012.09841): 256x256 to a grid of 16x16 ids of 1,024 (f = 16).

    genjax train vqgan_imagenet256 --data.path imagenet/ --train.init-from perceptual=features:efficientnet_lite0:FILE

By path: a folder with the pictures of ImageNet's training split, of any size, and FILE with the weights of
EfficientNet-Lite0. With 1,024 codes the authors report a Fréchet distance of 8.0 between the validation split and its
reconstructions, with 16,384 (`--model.quantizer.size 16384`) 4.9. Their settings: widths, blocks and codes, a beta of
0.25, absolute errors, weight 0.8 of the adversarial term, a discriminator of 70x70 pixels with batch normalization that
starts after 250,000 steps, and Adam at 4.5e-6 for each example of a batch.

What differs: attention stands between encoder and decoder alone, not also in the blocks of 16x16; the perceptual
distance is that of EfficientNet-Lite0's layers, not of VGG16's with weights learned from people's judgements; the
adaptive weight is that of the step before; codes that nothing takes are put where examples are; the batch and the
number of steps are ours. Planned only, not trained here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VQVAE, Adversarial, Perceptual, SpatialAutoencoder, VectorQuantizer

experiment = Experiment(
    model=VQVAE(
        network=SpatialAutoencoder(widths=(128, 128, 256, 256, 512), blocks=2),
        quantizer=VectorQuantizer(size=1024, width=256, learn="gradient"),
        pixel_error="l1",
        perceptual=Perceptual("efficientnet_lite0"),
        adversarial=Adversarial(start=250_000),
        image_shape=(256, 256, 3),
    ),
    data=Data(path="imagenet", image_size=256, channels=3, flip=True, random_crop=True, batch_size=64),
    optim=Optim(learning_rate=4.5e-6 * 64, b1=0.5, b2=0.9),
    train=Train(steps=1_000_000, precision="bfloat16", eval_every=10_000, sample_every=10_000, checkpoint_every=10_000),
    eval=Eval(examples=2048),
)
