"""Discriminators as trunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.networks import DCGAN, MLPGAN
from genjax.networks.gan import Recognition

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


def test_recognition_reads_any_features_and_answers_in_float32():
    module = Recognition(7, "batch", "bfloat16")
    features = jax.random.normal(jax.random.key(2), (3, 4, 4, 8))
    variables = module.init(jax.random.key(1), features, train=False)
    answer, new = module.apply(variables, features, train=True, mutable=["batch_stats"])
    assert answer.shape == (3, 7) and answer.dtype == jnp.float32
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (new["batch_stats"], variables["batch_stats"]))))
