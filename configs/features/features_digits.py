"""A classifier of scikit-learn's handwritten digits (8x8): the features that `genjax eval` compares digits by.

    genjax train features_digits

RESULT
"""

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import Classifier, ConvClassifier

experiment = Experiment(
    model=Classifier(network=ConvClassifier(widths=(32, 64), features=64, dropout=0.5), smoothing=0.1),
    data=Data(source="digits", batch_size=64),
    optim=Optim(name="adamw", learning_rate=2e-3, schedule="cosine", warmup_steps=50, weight_decay=0.05),
    train=Train(steps=1000, eval_every=250, checkpoint_every=250, sample_every=0, ema_decay=0.99),
)
