"""AWD-LSTM on WikiText-2, word by word (Merity et al. 2018, arXiv:1708.02182): 33 million parameters.

    genjax train wikitext2_lstm --data.path wikitext-2/wiki.train.tokens

The paper reaches a perplexity of 68.6 on the validation split, 65.8 on the test split, in 750 epochs; in place of its
random lengths and NT-ASGD stands an exponential average of the weights. Not trained here. The file is UTF-8 text, of
which the last part is held out; `bpe:32000` learns pieces of words where the paper has 33,278 whole words, so that only
bits per byte can be compared.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import RecurrentLM
from genjax.orders import Streams

experiment = Experiment(
    model=RecurrentLM(
        layers=3,
        width=1150,
        embedding=400,
        dropout=0.4,
        hidden_dropout=0.25,
        input_dropout=0.4,
        word_dropout=0.1,
        weight_dropout=0.5,
        activation_l2=2.0,
        slowness=1.0,
    ),
    data=Data(path="wiki.train.tokens", tokenizer="bpe:32000", order=Streams(), context=70, batch_size=80),
    optim=Optim(
        name="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=500, weight_decay=1.2e-6, clip_norm=0.25
    ),
    train=Train(steps=100_000, eval_every=2000, sample_every=10_000, checkpoint_every=2000, ema_decay=0.9995),
    eval=Eval(grid=8),
)
