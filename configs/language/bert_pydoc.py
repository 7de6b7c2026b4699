"""A small BERT of pieces of words on Python's own documentation; nothing to download.

    genjax train bert_pydoc
    genjax sample runs/bert_pydoc --prompt "The [MASK] of the object is"

A classifier starts from it by --train.init-from encoder=runs/bert_pydoc, with --model.order post --model.mlp gelu_exact
--model.eps 1e-12 --model.kinds 2 and the same sizes. Not measured yet.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import BERT

experiment = Experiment(
    model=BERT(layers=3, heads=4, width=128, dropout=0.1, order="pre", positions="rope"),
    data=Data(source="pydoc", tokenizer="bpe:2000", context=64, batch_size=32),
    optim=Optim(
        name="adamw", learning_rate=2e-3, schedule="linear", warmup_steps=200, weight_decay=0.01, clip_norm=1.0
    ),
    train=Train(steps=1500, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(grid=8),
)
