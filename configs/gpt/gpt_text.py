"""A GPT on your own text: one file, from some hundred kilobytes, a short book, on.

    genjax train gpt_text --data.path book.txt
    genjax sample runs/gpt_text --checkpoint best --prompt "Once upon a time" --max-new-tokens 300

It reads 1,024 pieces of words, which it finds in your text; under 200 KB letters do better: `--data.tokenizer byte`.
Dropout, and the checkpoint that is best on the tenth of the text held out, keep a small text from being learned by
heart. `genjax corpus` takes many files.

Measured on 1.5 MB of Milton and others, with editors' notes, in one file (2 cores, AMD EPYC, shared, jax 0.10.2,
2026-11-27): 7.4 minutes of CPU time, 2.29 bits a byte on the tenth held out, still falling. It writes lines of verse in
their layout and metre, of words and almost-words, without sense ("Transcending by his pital fields from hold"). With
learned positions in place of rotated ones the same steps end at 2.47.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128, positions="rope", dropout=0.1),
    data=Data(path="book.txt", tokenizer="bpe:1024", context=128, batch_size=8),
    optim=Optim(
        name="adamw",
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=100,
        final_learning_rate=2e-4,
        b2=0.99,
        weight_decay=0.1,
        clip_norm=1.0,
    ),
    train=Train(steps=2000, eval_every=250, sample_every=1000, checkpoint_every=250),
    eval=Eval(examples=200, grid=8),
)
