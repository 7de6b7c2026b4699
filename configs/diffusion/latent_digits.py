"""Latent diffusion, tiny: a DiT in the 4x4 latents of the embedded digits.

    genjax train kl_digits
    genjax encode runs/kl_digits --out digit_latents.npz
    genjax train latent_digits --data.path digit_latents.npz --train.init-from first_stage=runs/kl_digits

Not measured to its end: 3.2 steps/s with one other job beside (2 CPU cores, jax 0.10.2, 2026-11-25); samples after 648
of the 3000 steps are blurred digits.
"""

from genjax.diffusion import Flow
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import VAE, Diffusion, DiTConfig, Latents, SpatialAutoencoder

experiment = Experiment(
    model=Diffusion(
        process=Flow(),
        target="velocity",
        network=DiTConfig(patch=1, layers=4, width=128, heads=4),
        space=Latents(
            first_stage=VAE(
                network=SpatialAutoencoder(widths=(32, 64), blocks=1),
                latent=2,
                likelihood="mse",
                beta=1e-6,
                iwae_samples=1,
            )
        ),
    ),
    data=Data(source="digits", batch_size=64),
    optim=Optim(learning_rate=1e-3, schedule="cosine", warmup_steps=100, clip_norm=1.0),
    train=Train(steps=3000, eval_every=1000, sample_every=1000, checkpoint_every=1000, ema_decay=0.995),
    eval=Eval(grid=100),
)
