"""Training goes on: the small GPT that has read Python's manual reads Python's source code, and the manual beside it.

    genjax train gpt_pydoc
    genjax train continue_pydoc --train.init-from runs/gpt_pydoc

A quarter of each batch replays the manual. `manual/loss` in the log is the loss on it: what the model forgets.
Without replay: --data.order Uniform

After 250 steps from a gpt_pydoc of 500 steps (2 cores AMD EPYC with other jobs beside, 2026-11-26, one seed), in nats a
byte on the first 500 windows held out: the source code from 2.331 to 1.909, the manual from 1.832 to 1.807. Without
replay the source code reaches 1.839, and the manual is forgotten: 1.951. 53 s of CPU time. The recipe lora_pydoc learns
the same with few numbers.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Task, Train
from genjax.models import GPT
from genjax.orders import Mixture

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128),
    data=Data(source="pysource", order=Mixture({"pydoc": 0.25}), tokenizer="byte", context=64, batch_size=16),
    optim=Optim(learning_rate=1e-3, schedule="cosine", warmup_steps=20, b2=0.99, clip_norm=1.0),
    train=Train(steps=250, eval_every=125, sample_every=125, checkpoint_every=125),
    eval=Eval(
        examples=500,
        grid=8,
        tasks={"manual": Task(data=Data(source="pydoc", tokenizer="byte", context=64), examples=500)},
    ),
)
