"""Discriminators as trunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.networks import DCGAN, MLPGAN

X, LABEL = jax.random.normal(jax.random.key(0), (3, 16, 16, 2)), jnp.array([0, 2, 1])


@pytest.mark.parametrize(
    ("config", "shapes"),
    [(DCGAN(4, 4, "layer", "layer"), [(8, 8, 4), (4, 4, 8)]), (MLPGAN(4, 5, "layer", "layer"), [(5,), (5,)])],
)
def test_features_come_with_the_logit_and_change_neither_it_nor_the_parameters(config, shapes):
    module = config.discriminator(classes=3)
    variables = module.init(jax.random.key(1), X, LABEL, train=False)
    with_features = module.init(jax.random.key(1), X, LABEL, train=False, features=True)
    jax.tree.map(np.testing.assert_array_equal, with_features, variables)
    logit, features = module.apply(variables, X, LABEL, train=True, features=True)
    np.testing.assert_array_equal(module.apply(variables, X, LABEL, train=True), logit)
    assert [f.shape[1:] for f in features] == shapes
