"""DDPM, conditional on the label, on scikit-learn's handwritten digits (8x8): diffusion in minutes on a laptop's CPU.

    genjax train ddpm_digits

Time and result: 13.6 steps/s, 1 min 51 s for the whole command with nothing compiled before (2 CPU cores, AMD EPYC,
jax 0.10.2, 2026-11-26). On the 297 digits held out: validation loss 0.233; variational bound 4.58 bits/dim (mean of ten
evaluations, of standard deviation 0.05); 4.90 by the ODE (`genjax eval --likelihood-steps 50`). All ten digits are read
at a glance.

`genjax eval RUN --metrics fd kid pr`, of 297 samples in the default 50 steps of DDIM: Fréchet distance 0.29 [0.18,
0.40] in the shipped digits' features (training digits of the same labels 0.42), KID -0.0171 [-0.0201, -0.0141]
(-0.0162), precision 0.811, recall 0.845 (0.872, 0.633); 40 s of CPU time with nothing compiled before.
"""

from genjax.diffusion import DDPM
from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Diffusion, UNetConfig

experiment = Experiment(
    model=Diffusion(
        process=DDPM(schedule="cosine", steps=1000),
        target="v",
        network=UNetConfig(channels=32, multipliers=(1, 2), blocks=1, attention=(), heads=4),
    ),
    data=Data(source="digits", batch_size=64),
    optim=Optim(learning_rate=2e-3, schedule="cosine", warmup_steps=100, clip_norm=1.0),
    train=Train(steps=800, eval_every=400, sample_every=400, checkpoint_every=400, ema_decay=0.995),
    eval=Eval(grid=100),
)
