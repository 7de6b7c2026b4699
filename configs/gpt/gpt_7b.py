"""Llama 2 7B's architecture (Touvron et al. 2023): rotary positions, RMSNorm, SwiGLU, untied head.

    genjax plan gpt_7b --topology v5p:4x4x4
    genjax train gpt_7b --data.path corpus

`corpus` is made by `genjax corpus` with at most 32,000 ids. 4 million tokens a step, 2 trillion in all.

Not measured: nobody here trained it. `genjax plan` says whether it fits.
"""

from genjax.experiment import Data, Eval, Experiment, Mesh, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(
        layers=32,
        heads=32,
        width=4096,
        hidden=11008,
        context=4096,
        vocabulary=32_000,
        positions="rope",
        norm="rms",
        mlp="swiglu",
        tied=False,
        bias=False,
        remat="full",
    ),
    data=Data(path="corpus", context=4096, batch_size=1024),
    optim=Optim(
        name="adamw",
        learning_rate=3e-4,
        schedule="cosine",
        warmup_steps=2000,
        final_learning_rate=3e-5,
        b1=0.9,
        b2=0.95,
        eps=1e-5,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(steps=477_000, precision="bfloat16", eval_every=1000, sample_every=5000, checkpoint_every=1000),
    mesh=Mesh(data=1, fsdp=-1, tensor=1),
    eval=Eval(examples=1024, grid=4),
)
