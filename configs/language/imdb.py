"""Film reviews of IMDB, kind or not (Maas et al. 2011), through TensorFlow data sets. Not trained here.

    pip install "genjax-suite[prepare]" && tfds build imdb_reviews --file_format=array_record
    genjax train imdb

25,000 reviews train, 25,000 validate. A review of more than 512 tokens is cut, with a count.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import TextClassifier

experiment = Experiment(
    model=TextClassifier(layers=4, heads=4, width=256, dropout=0.2, vocabulary=16000, context=512, classes=2),
    data=Data(source="tfds:imdb_reviews", tokenizer="bpe:16000", context=512, batch_size=64),
    optim=Optim(name="adamw", learning_rate=5e-4, schedule="cosine", warmup_steps=500, weight_decay=0.1, clip_norm=1.0),
    train=Train(steps=4000, eval_every=500, sample_every=2000, checkpoint_every=500, ema_decay=0.995),
    eval=Eval(grid=16),
)
