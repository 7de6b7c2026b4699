"""A small transformer that translates names and written dates, English into German: data that Babel brings along.

    pip install genjax-suite[text]
    genjax train translate_phrases
    genjax sample runs/translate_phrases --prompt "Tuesday, March 3, 1998" "12 kilometers" --num 2

Babel's phrases of other languages: --data.source phrases:en-fr

After 1,000 of the 2,000 steps, all 1,137 validation pairs, beam 4 (2 cores AMD EPYC, shared, 2026-11-26): BLEU 95.9
+- 0.9, chrF 95.0 +- 1.0 (95% intervals), 0.300 nats a token. Of 1,012 dates, units and amounts 91% are exactly right,
of 125 unseen names 20% ("Fiji" is Fidschi, but "Americas" is Amerikisch). 1,300 steps, compilation and one evaluation
took 332 s of CPU time: not quite 3 minutes of both cores.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Translation
from genjax.orders import Buckets

experiment = Experiment(
    model=Translation(
        layers=2, heads=4, width=128, hidden=512, dropout=0.1, positions="sinusoidal", embedding_scale=128**0.5
    ),
    data=Data(
        source="phrases:en-de",
        order=Buckets(bounds=(8, 16, 40), tokens=1024),
        tokenizer="bpe:1000",
        context=40,
        batch_size=64,
    ),
    optim=Optim(learning_rate=2e-3, schedule="inverse_sqrt", warmup_steps=300, b2=0.98, eps=1e-9),
    train=Train(steps=2000, eval_every=1000, sample_every=1000, checkpoint_every=200, keep=5),
    eval=Eval(metrics=("bleu", "chrf"), set_size=2048, grid=16),
)
