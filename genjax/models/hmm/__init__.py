"""Hidden Markov models: the model, what states emit, and inference."""

from genjax.models.hmm.emission import CategoricalEmission, Emission, PoissonEmission
from genjax.models.hmm.gaussian import GaussianEmission, MixtureEmission
from genjax.models.hmm.model import HMM
from genjax.models.hmm.options import HMMOptions

__all__ = [
    "HMM",
    "CategoricalEmission",
    "Emission",
    "GaussianEmission",
    "HMMOptions",
    "MixtureEmission",
    "PoissonEmission",
]
