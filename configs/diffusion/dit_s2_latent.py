"""DiT-S/2 (Peebles & Xie 2022) in the latents of `kl_f8`, at 256x256: the smallest of the paper's, 33M parameters.

    genjax encode runs/kl_f8 --out latents.npz
    genjax train dit_s2_latent --data.path latents.npz --train.init-from first_stage=runs/kl_f8

On ImageNet the paper's DiT-S/2 reaches FID 68.4 after 400,000 steps, without guidance. What differs from its settings:
images are encoded once and therefore not mirrored; latents are divided by their measured standard deviation, the
paper's multiplied by 0.18215; compute is in bfloat16; and the paper's first stage is Stable Diffusion's own, whose
weights `genjax.interop.autoencoder_kl` translates.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import KL_F8, Diffusion, Latents, dit

experiment = Experiment(
    model=Diffusion(
        space=Latents(first_stage=KL_F8),
        process=DDPM(schedule="linear"),
        target="epsilon",
        variance="learned",
        network=dit("S", 2),
    ),
    data=Data(path="latents.npz", batch_size=256),
    optim=Optim(learning_rate=1e-4),
    train=Train(
        steps=400_000,
        precision="bfloat16",
        ema_decay=0.9999,
        eval_every=10_000,
        sample_every=10_000,
        checkpoint_every=10_000,
    ),
    eval=Eval(examples=4096, grid=16),
)
