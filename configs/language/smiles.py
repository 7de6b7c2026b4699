"""Molecules, letter by letter: a small GPT on a file of SMILES, a molecule in each line.

    pip install genjax-suite[chem]
    genjax train smiles --data.path smiles.txt
    genjax eval runs/smiles
    genjax sample runs/smiles --num 20
    genjax sample runs/smiles --prompt "C1=CC=C" --num 20

`validity` is the share of samples that RDKit reads as molecules, `uniqueness` that of different ones among these, and
`novelty` that of the different ones that the training molecules do not have. Without RDKit: --eval.metrics

On 61,950 molecules of up to 60 letters (those of the package chemicals; 2 cores AMD EPYC, shared by many, jax 0.10.2,
2026-11-27), 256 samples: after 200 steps 49% valid, after all 400 steps 64% (standard error 3%), all of these different
and 95% new; 0.810 nats a letter held out. 4.2 minutes of CPU time. Chains and single rings are right
(CSC1=CC=CC=C1CCN, a benzene ring with two arms); what is not valid is mostly a ring of several that is not closed, or a
sixth bond of a carbon.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT
from genjax.orders import Packed

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128),
    data=Data(source="lines", path="smiles.txt", order=Packed(), tokenizer="char", context=96, batch_size=32),
    optim=Optim(
        name="muon",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        final_learning_rate=2e-4,
        b2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(steps=400, eval_every=200, sample_every=200, checkpoint_every=200),
    eval=Eval(metrics=("smiles",), examples=1000, set_size=256, grid=32),
)
