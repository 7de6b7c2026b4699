"""A first stage of ids for pictures of your own, at 256x256: 32x32 ids of 8,192, as many as DALL-E's (f = 8).

    genjax train vqvae_folder --data.path PICTURES

PICTURES is a folder of images with a `metadata.jsonl` of their captions ({"file_name": ..., "caption": ...}). It is
the first stage of `dalle_folder`. The codebook is learned by moving averages; the loss has neither a perceptual nor an
adversarial term, so expect blurred reconstructions. Not measured.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VQVAE, SpatialAutoencoder, VectorQuantizer

experiment = Experiment(
    model=VQVAE(
        network=SpatialAutoencoder(widths=(64, 128, 256, 256), blocks=2),
        quantizer=VectorQuantizer(size=8192, width=32),
    ),
    data=Data(path="pictures", image_size=256, channels=3, tokenizer="bpe:8192", context=64, batch_size=64),
    optim=Optim(learning_rate=3e-4, b2=0.99, schedule="cosine", warmup_steps=1000, clip_norm=1.0),
    train=Train(steps=200_000, precision="bfloat16", eval_every=5000, sample_every=5000, checkpoint_every=5000),
    eval=Eval(examples=2048, grid=16),
)
