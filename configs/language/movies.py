"""Is a sentence about a film kind or not? Your own texts with labels, here 10,568 snippets of film reviews.

    genjax train movies --data.path movie_snippets.tsv
    genjax sample runs/movies --prompt "A warm and funny film."

The file has a label and a text in each line, with a tab between them: vaderSentiment's `movieReviewSnippets`, 1 for
kind ones. `genjax sample --checkpoint best` takes the best checkpoint, which was that of step 400 with seed 0.

Result: 77.3% of 2,114 snippets held out are right (macro F1 77.3%), and after all 1,000 steps 76.0%, as the classifier
learns the rest by heart. It does not beat words and letters alone: logistic regression over TF-IDF has 80.5%, and over
three seeds the classifier's difference after all steps is -4.1 +- 1.3 points (95%), and that of the best checkpoints,
of steps 400, 600 and 600, -3.2 +- 1.2, though they are chosen by these snippets. 75 s of CPU time, that regression
included (2 cores AMD EPYC, shared, 2026-11-26; seeds 1 and 2, 2026-11-27). Tried in vain, 1,000 steps and one seed each
(2026-11-27): Glorot's initializer with rotated positions, 75.9%; the same on 1,500 pieces of words, 73.3%.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import TextClassifier

experiment = Experiment(
    model=TextClassifier(layers=1, heads=4, width=64, hidden=128, dropout=0.4),
    data=Data(
        path="movie_snippets.tsv",
        fields=("label=0:label", "text=1:text"),
        tokenizer="bpe:4000",
        context=64,
        batch_size=64,
        validation=0.2,
    ),
    optim=Optim(name="adamw", learning_rate=5e-4, schedule="cosine", warmup_steps=100, weight_decay=0.1, clip_norm=1.0),
    train=Train(steps=1000, eval_every=200, sample_every=500, checkpoint_every=200, ema_decay=0.99),
    eval=Eval(grid=16),
)
