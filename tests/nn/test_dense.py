"""Dense layers against Flax's."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from genjax.nn import dense


@pytest.mark.parametrize(
    "arguments", [{"features": 6}, {"features": 2}, {"features": (3, 2)}, {"features": 6, "axis": (-2, -1)}]
)
def test_a_dense_layer_is_flaxs(arguments, monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    ours, flaxs = dense.DenseGeneral(**arguments), nn.DenseGeneral(**arguments)
    params = ours.init(jax.random.key(1), x)
    value = lambda module: jax.value_and_grad(lambda params, x: (module.apply(params, x) ** 3).sum(), (0, 1))(params, x)  # noqa: E731
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    jax.tree.map(same, value(ours), value(flaxs))
    monkeypatch.setattr(dense, "platform", lambda: "tpu")
    jax.tree.map(same, value(ours), value(flaxs))


def program(platform: str, monkeypatch, features: int = 4) -> list:
    """A product of 2 x 5 rows of 3 numbers with a kernel, and its two gradients."""
    monkeypatch.setattr(dense, "platform", lambda: platform)
    layer, x = dense.Dense(features), np.ones((2, 5, 3), np.float32)
    params = layer.init(jax.random.key(0), x)
    return jax.make_jaxpr(jax.grad(lambda params, x: layer.apply(params, x).sum(), (0, 1)))(params, x).eqns


def test_rows_are_one_dimension_but_on_tpus(monkeypatch):
    for platform, dimensions in (("cpu", 2), ("gpu", 2), ("tpu", 3)):
        products = [eqn for eqn in program(platform, monkeypatch) if eqn.primitive.name == "dot_general"]
        assert [eqn.invars[0].aval.ndim for eqn in products] == [dimensions] * 3


def test_the_gradient_of_a_tall_kernel_stays_a_transposed_product_on_a_cpu(monkeypatch):
    for platform, features, shapes in (("cpu", 2, [(2, 3)]), ("cpu", 4, []), ("gpu", 2, [])):
        barriers = [
            eqn for eqn in program(platform, monkeypatch, features) if eqn.primitive.name == "optimization_barrier"
        ]
        assert [eqn.outvars[0].aval.shape for eqn in barriers] == shapes
