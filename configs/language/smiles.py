"""Molecules, letter by letter: a small GPT on a file of SMILES, a molecule in each line.

    pip install genjax-suite[chem]
    genjax train smiles --data.path smiles.txt
    genjax eval runs/smiles
    genjax sample runs/smiles --num 20
    genjax sample runs/smiles --prompt "C1=CC=C" --num 20

`validity` is the share of samples that RDKit reads as molecules, `uniqueness` that of different ones among these, and
`novelty` that of the different ones that the training molecules do not have. Without RDKit: --eval.metrics

On 61,950 molecules of up to 60 letters (those of the package chemicals; 2 cores AMD EPYC, shared by many, jax 0.10.2,
2026-11-27): 0.810 nats a letter held out; 4.2 minutes of CPU time. After all 400 steps 64% of the 256 samples of `eval`
are valid, all of these different and 95% new; after 200 steps 49%. Two further seeds of `sample` have 58% and 55%: of
all 768, 59% (standard error 2%). A sheet of 32 says little: in groups of 32, 12 to 25 are valid; on the run's sheet,
15. With --temperature 0.8 80% of 256 are valid, all different. Chains and single rings are right (CSC1=CC=CC=C1CCN, a
benzene ring with two arms); of the 314 that are no molecules, 39% leave a ring open, and 29% give an atom too many
bonds.
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
