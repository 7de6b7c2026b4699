"""GPT-3 175B (Brown et al. 2020, tables 2.1 and B): 96 layers, 3.2 million tokens a step.

    genjax plan gpt3_175b --topology v5p:8x8x8
    genjax train gpt3_175b --data.path corpus

Departures from the paper: every layer attends densely, where GPT-3 alternates with locally banded attention;
the batch has its final size from the first step; the cosine ends at the last step, 300 billion tokens, where
the paper's ends at 260 billion. Warm-up is its 375 million tokens.

Not measured: nobody here trained it. `genjax plan` says whether it fits.
"""

from genjax.experiment import Data, Eval, Experiment, Mesh, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(layers=96, heads=96, width=12288, vocabulary=50257, context=2048, remat="full"),
    data=Data(path="corpus", context=2048, batch_size=1536),
    optim=Optim(
        name="adamw",
        learning_rate=0.6e-4,
        schedule="cosine",
        warmup_steps=120,
        final_learning_rate=0.6e-5,
        b1=0.9,
        b2=0.95,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(
        steps=95_400,
        precision="bfloat16",
        grad_accumulation=2,
        eval_every=1000,
        sample_every=5000,
        checkpoint_every=1000,
    ),
    mesh=Mesh(data=1, fsdp=-1, tensor=8),
    eval=Eval(examples=1536, grid=4),
)
