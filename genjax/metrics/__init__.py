"""How good a set of samples is: name -> f(real (N, H, W, C), generated (N, H, W, C)) -> float."""

from collections.abc import Callable

import numpy as np

from genjax.metrics.sliced_wasserstein import sliced_wasserstein

SET_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"swd": sliced_wasserstein}
