"""The big Transformer of Vaswani et al. 2017 (arXiv:1706.03762, table 3), for WMT's English-German.

    genjax plan transformer_big_wmt16 --topology v5e:2x2
    genjax train transformer_big_wmt16
    genjax eval runs/transformer_big_wmt16 --average 20

The settings are the paper's, which has the same 4.5 million pairs: 300,000 steps of about 25,000 source and 25,000
target tokens. The data comes from Hugging Face's hub (extra `hf`). Nobody here trained it.

Planned for four chips, v5e:2x2 (2026-11-27): 13.0 of 16 GiB a chip; a step of the longest texts, 96 of 256 tokens,
takes at least 49.1 ms, MFU at most 85% (benchmarks/PLANS.md).
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import Translation
from genjax.orders import Buckets

WIDTH, WARMUP = 1024, 4000

experiment = Experiment(
    model=Translation(
        layers=6,
        heads=16,
        width=WIDTH,
        hidden=4096,
        dropout=0.3,
        label_smoothing=0.1,
        positions="sinusoidal",
        embedding_scale=WIDTH**0.5,
        initializer="glorot",
        order="post",
        embedding_norm=False,
        context=256,
        vocabulary=37000,
    ),
    data=Data(
        source="hf:wmt/wmt16:de-en",
        fields=("source=en:text", "target=de:text"),
        order=Buckets(bounds=(16, 32, 64, 128, 256), tokens=25000),
        tokenizer="bpe:37000",
        context=256,
        batch_size=256,
    ),
    optim=Optim(
        learning_rate=(WIDTH * WARMUP) ** -0.5,
        schedule="inverse_sqrt",
        warmup_steps=WARMUP,
        b1=0.9,
        b2=0.98,
        eps=1e-9,
    ),
    train=Train(
        steps=300_000, eval_every=5000, sample_every=5000, checkpoint_every=1500, keep=20, precision="bfloat16"
    ),
    eval=Eval(metrics=("bleu",)),
)
