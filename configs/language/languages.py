"""Which of 15 languages is this name? A transformer of pieces of words on names that Babel brings along.

    pip install genjax-suite[text]
    genjax train languages
    genjax sample runs/languages --prompt "Königreich Schweden" "Repubblica Ceca"

77.8% of 1,342 names held out are right, macro F1 76.8% (seed 0; 3.2 minutes of CPU time, 2 cores AMD EPYC, shared, jax
0.10.2, 2026-11-27). It does not beat words and letters alone: logistic regression over TF-IDF, which the report has
beside it, is right in 79.3%, macro F1 78.3%. With seeds 1 and 2 the transformer is right in 78.2 and 79.2%: over
three seeds the difference is -0.9 +- 1.8 points (95%). "Königreich Schweden" is German (0.999), "Repubblica
Ceca" Italian (0.967); "Algerien" is German too, and taken for French (0.70).

On the way from 69.8%, with AdamW, letters and learned positions in rows of 48: rotated positions, Glorot's initializer
and buckets 72.8% in a third of the time, Muon 74.0%, pieces of words 77.8%; dropout of 0.3, 77.2% after 1,500 steps
(one seed each).
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import TextClassifier
from genjax.orders import Buckets

experiment = Experiment(
    model=TextClassifier(layers=3, heads=4, width=96, hidden=384, dropout=0.1, positions="rope", initializer="glorot"),
    data=Data(
        source="languages",
        order=Buckets(bounds=(16, 48), tokens=1024),
        tokenizer="bpe:1000",
        context=48,
        batch_size=64,
    ),
    optim=Optim(name="muon", learning_rate=2e-3, schedule="cosine", warmup_steps=200, weight_decay=0.05, clip_norm=1.0),
    train=Train(steps=2000, eval_every=500, sample_every=1000, checkpoint_every=500, ema_decay=0.995),
    eval=Eval(grid=16),
)
