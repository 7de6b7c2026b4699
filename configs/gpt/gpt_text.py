"""A GPT on your own text: one file, from some hundred kilobytes, a short book, on.

    genjax train gpt_text --data.path book.txt
    genjax sample runs/gpt_text --checkpoint best --prompt "Once upon a time" --max-new-tokens 300

It reads 1,024 pieces of words, which it finds in your text; under 200 KB letters do better: `--data.tokenizer byte`.
Dropout, and the checkpoint that is best on the tenth of the text held out, keep a small text from being learned by
heart. `genjax corpus` takes many files.

Not trained to the end here.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import GPT

experiment = Experiment(
    model=GPT(layers=4, heads=4, width=128, dropout=0.1),
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
