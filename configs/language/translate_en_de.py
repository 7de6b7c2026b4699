"""A small transformer that translates your pairs of sentences; here English into German.

    genjax train translate_en_de --data.path pairs.tsv
    genjax sample runs/translate_en_de --prompt "Click the button." --num 1

The file has a sentence and its translation in each line, with a tab between them.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Translation
from genjax.orders import Buckets

experiment = Experiment(
    model=Translation(layers=3, heads=4, width=128, hidden=512, dropout=0.1),
    data=Data(
        path="pairs.tsv",
        fields=("source=0:text", "target=1:text"),
        order=Buckets(bounds=(16, 32, 64)),
        tokenizer="bpe:4000",
        context=64,
        batch_size=64,
        validation=0.03,
    ),
    optim=Optim(learning_rate=2e-3, schedule="cosine", warmup_steps=200, b2=0.98, clip_norm=1.0),
    train=Train(steps=3000, eval_every=1000, sample_every=1000, checkpoint_every=1000, ema_decay=0.999),
    eval=Eval(set_size=256, grid=16),
)
