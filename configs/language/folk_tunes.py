"""Folk tunes in ABC notation, letter by letter: a small GPT on a file of tunes, such as music21's Essen collection.

    genjax train folk_tunes --data.path essen_tunes.abc
    genjax eval runs/folk_tunes
    genjax sample runs/folk_tunes --num 8
    genjax sample runs/folk_tunes --prompt "M:3/4" --num 8 --temperature 0.8

Beside each sheet of tunes stand the first three that can be played, as .wav files. `tunes_parse` is the share of
samples that can be read as tunes, `bars_add_up` the share whose bars are as long as their meter says; `_of_data` says
the same of the tunes held out, which are not all written out strictly.

Not measured yet.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT
from genjax.orders import Packed

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128),
    data=Data(source="tunes", path="tunes.abc", order=Packed(), tokenizer="char", context=256, batch_size=12),
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
    eval=Eval(metrics=("tunes",), examples=200, set_size=128, grid=16),
)
