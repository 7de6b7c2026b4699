"""A small GPT of the bases of a genome. The data is a FASTA file, by path.

    genjax train gpt_dna --data.path lambda_phage.fa
    genjax sample runs/gpt_dna --prompt ATGGCT --num 4

1.366 nats a base on the last tenth of phage lambda's genome, 32.0% of them right (seed 0; 51 s of CPU time, 2 cores
AMD EPYC, shared, jax 0.10.2, 2026-11-27). Frequencies alone give 1.386, a Markov chain of order 3, the best of orders 0
to 8 with counts plus one, 1.372: of 43,000 bases no more than that is learned. Samples are bases with such frequencies.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(layers=2, heads=2, width=64, dropout=0.1, positions="rope"),
    data=Data(path="lambda_phage.fa", tokenizer="char", context=128, batch_size=32),
    optim=Optim(
        name="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        final_learning_rate=2e-4,
        b2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(steps=400, eval_every=50, sample_every=200, checkpoint_every=100),
    eval=Eval(grid=8),
)
