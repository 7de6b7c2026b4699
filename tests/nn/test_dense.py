"""Dense layers against Flax's."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from genjax.nn import dense


@pytest.mark.parametrize("arguments", [{"features": 6}, {"features": (3, 2)}, {"features": 6, "axis": (-2, -1)}])
def test_a_dense_layer_is_flaxs(arguments, monkeypatch):
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    ours, flaxs = dense.DenseGeneral(**arguments), nn.DenseGeneral(**arguments)
    params = ours.init(jax.random.key(1), x)
    value = lambda module: jax.value_and_grad(lambda params, x: (module.apply(params, x) ** 3).sum(), (0, 1))(params, x)  # noqa: E731
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    jax.tree.map(same, value(ours), value(flaxs))
    monkeypatch.setattr(dense, "platform", lambda: "tpu")
    jax.tree.map(same, value(ours), value(flaxs))


def products(platform: str, monkeypatch) -> list[int]:
    """Of how many dimensions the first factor of each product is, forward and for the two gradients."""
    monkeypatch.setattr(dense, "platform", lambda: platform)
    layer, x = dense.Dense(4), np.ones((2, 5, 3), np.float32)
    params = layer.init(jax.random.key(0), x)
    program = jax.make_jaxpr(jax.grad(lambda params, x: layer.apply(params, x).sum(), (0, 1)))(params, x)
    return [eqn.invars[0].aval.ndim for eqn in program.eqns if eqn.primitive.name == "dot_general"]


def test_rows_are_one_dimension_but_on_tpus(monkeypatch):
    assert products("cpu", monkeypatch) == products("gpu", monkeypatch) == [2, 2, 2]
    assert products("tpu", monkeypatch) == [3, 3, 3]
