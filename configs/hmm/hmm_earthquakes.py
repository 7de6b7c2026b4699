"""Poisson states of the yearly counts of major earthquakes, 1900 to 2006: nothing to download.

    genjax train hmm_earthquakes --model.states 3

Time and result: under a minute on 2 cores AMD EPYC with other jobs beside (jax 0.10.2, 2026-11-26). Log-likelihoods
-391.919, -341.879 and -328.528 with 1, 2 and 3 states, which Zucchini et al. publish. BIC (788.5, 707.1, 708.5)
chooses two states, AIC (785.8, 693.8, 679.1) three.
"""

from genjax.experiment import Data, Eval, Experiment, Train
from genjax.models import HMM, PoissonEmission

experiment = Experiment(
    model=HMM(states=2, emission=PoissonEmission(), start="kmeans", restarts=8),
    data=Data(source="earthquakes", batch_size=1),
    train=Train(steps=500, log_every=10, eval_every=100, sample_every=0, checkpoint_every=250),
    eval=Eval(grid=4),
)
