"""DiT-XL/2 (Peebles & Xie 2022, arXiv:2212.09748) on ImageNet at 256x256: 675M parameters in the latents of `kl_f8`.

    genjax encode runs/kl_f8 --out latents.npz
    genjax train dit_xl2_imagenet256 --data.path latents.npz --train.init-from first_stage=runs/kl_f8

The paper's settings: linear DDPM of 1000 steps, learned variance, Adam at 1e-4 without warm-up, batch 256, 7M steps; it
reaches FID 2.27 with --guidance 1.5 and 250 steps of --sampler ddpm. What differs is as in `dit_s2_latent`: no mirrored
images, the latents' scale, bfloat16, the first stage.
The weights are split over all chips, which must divide the width 1152. On 256 chips, keep 16 copies, each split over
16: `--mesh.data 16 --mesh.fsdp 16`, 13.0 of 16 GiB a chip by plan for v5e:16x16 at batch 4096; undivided ones take 25.
Not measured here: the data set could not be downloaded where this recipe was written.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Mesh, Optim, Train
from genjax.models import KL_F8, Diffusion, Latents, dit

experiment = Experiment(
    model=Diffusion(
        space=Latents(first_stage=KL_F8),
        process=DDPM(schedule="linear"),
        target="epsilon",
        variance="learned",
        network=dit("XL", 2),
        image_shape=(256, 256, 3),
        classes=1000,
        conditional=True,
    ),
    data=Data(path="latents.npz", batch_size=256),
    optim=Optim(learning_rate=1e-4),
    train=Train(
        steps=7_000_000,
        precision="bfloat16",
        ema_decay=0.9999,
        ema_entries=("denoiser",),
        eval_every=50_000,
        sample_every=50_000,
        checkpoint_every=50_000,
    ),
    mesh=Mesh(fsdp=-1, data=1),
    eval=Eval(examples=4096, grid=16),
)
