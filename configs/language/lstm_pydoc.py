"""A small LSTM of bytes on Python's own documentation, read in streams; nothing to download.

    genjax train lstm_pydoc
    genjax sample runs/lstm_pydoc --prompt "def "

1.195 nats a byte, 1.723 bits, on all 728 windows held out of Python 3.11.7's text, the state carried from window to
window (1.458 nats after 500 steps); 5.7 minutes of CPU time (2 cores AMD EPYC, shared by many, jax 0.10.2, 2026-11-27).
Samples have the manual's lines, quoted names and most of its words spelled right ("exception is the ..."), no sense.

Beside PyTorch's nn.LSTM, which has no weight dropout, on the same batches for 300 steps, seeds 0 to 2 (`python
benchmarks/peers/lstm.py RUN --seed N`; torch 2.14, the same day), ours less theirs with its 95% interval: 2.061 - 2.015
= 0.05 +- 0.19 nats a byte.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import RecurrentLM
from genjax.orders import Streams

experiment = Experiment(
    model=RecurrentLM(
        layers=2,
        width=256,
        embedding=128,
        dropout=0.1,
        hidden_dropout=0.1,
        weight_dropout=0.1,
        activation_l2=2.0,
        slowness=1.0,
    ),
    data=Data(source="pydoc", tokenizer="byte", order=Streams(), context=64, batch_size=32),
    optim=Optim(learning_rate=3e-3, schedule="cosine", warmup_steps=100, final_learning_rate=3e-4, clip_norm=1.0),
    train=Train(steps=1500, eval_every=500, sample_every=500, checkpoint_every=500),
    eval=Eval(grid=8),
)
