"""DALL-E on pictures of your own with captions, at 256x256: a decoder of 24 layers over 64 + 1,024 tokens.

    genjax train vqvae_folder --data.path PICTURES
    genjax encode runs/vqvae_folder --out codes
    genjax train dalle_folder --data.path codes --train.init-from first_stage=runs/vqvae_folder

PICTURES is a folder of images with a `metadata.jsonl` of their captions ({"file_name": ..., "caption": ...}). The
paper's model has 64 layers of width 3,968 over 256 + 1,024 tokens, with sparse attention; here it is dense. Not
measured. On v5e:4x4 it needs `--mesh.data 1 --mesh.fsdp 16`: by plan 13.05 of 16 GiB a chip, at least 560 ms a step.
With the weights whole on each chip it does not fit (18.4 GiB).
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DALLE, VQVAE, SpatialAutoencoder, VectorQuantizer

first_stage = VQVAE(
    network=SpatialAutoencoder(widths=(64, 128, 256, 256), blocks=2),
    quantizer=VectorQuantizer(size=8192, width=32),
    image_shape=(256, 256, 3),
)

experiment = Experiment(
    model=DALLE(
        first_stage=first_stage,
        condition="caption",
        text=64,
        words=8192,
        layers=24,
        heads=16,
        width=1024,
        dropout=0.1,
        remat="dots",
    ),
    data=Data(path="codes", batch_size=256),
    optim=Optim(name="adamw", learning_rate=4.5e-4, b2=0.96, weight_decay=0.045, schedule="cosine", warmup_steps=5000),
    train=Train(steps=400_000, precision="bfloat16", eval_every=5000, sample_every=5000, checkpoint_every=5000),
    eval=Eval(examples=2048, grid=16),
)
