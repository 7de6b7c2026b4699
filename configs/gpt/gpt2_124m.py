"""GPT-2 124M (Radford et al. 2019) with nanoGPT's training settings, about 0.5 million tokens a step.

    genjax train gpt2_124m --data.path corpus

`corpus` is made by `genjax corpus` with GPT-2's tokenizer; nanoGPT's is OpenWebText. The biases are GPT-2's,
which nanoGPT leaves out, so that published weights fit (`genjax.interop.gpt2`).

Not measured: it needs such a corpus, and days on accelerators.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(layers=12, heads=12, width=768, vocabulary=50257, context=1024),
    data=Data(path="corpus", context=1024, batch_size=480),
    optim=Optim(
        name="adamw",
        learning_rate=6e-4,
        schedule="cosine",
        warmup_steps=2000,
        final_learning_rate=6e-5,
        b1=0.9,
        b2=0.95,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(
        steps=600_000,
        precision="bfloat16",
        grad_accumulation=5,
        eval_every=1000,
        sample_every=5000,
        checkpoint_every=5000,
    ),
    eval=Eval(examples=4096, grid=4),
)
