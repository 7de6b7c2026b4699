"""Several networks as one: keys and state."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.nn.apply import apply, init_networks

KEY = jax.random.key(3)
X = jnp.arange(12.0).reshape(4, 3)


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, *, train, twice=False):
        y = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(3)(x))
        return (y, 2 * y) if twice else y


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(2)(x) + jax.random.normal(self.make_rng("noise"), (2,))


NETWORKS = {"one": Normed(), "two": nn.Dense(3), "three": nn.Dense(3)}


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_keys_are_split_in_order_and_one_network_takes_the_key():
    params, state = init_networks({"b": nn.Dense(3), "a": nn.Dense(3)}, {"a": (X,), "b": (X,)}, KEY)
    first, second = jax.random.split(KEY)
    same(params["a"], nn.Dense(3).init(first, X)["params"])
    same(params["b"], nn.Dense(3).init(second, X)["params"])
    assert state == {}
    same(init_networks(NETWORKS, {"two": (X,)}, KEY)[0]["two"], nn.Dense(3).init(KEY, X)["params"])


def test_one_key_more_does_not_change_those_before():
    same(jax.random.key_data(jax.random.split(KEY, 3)[:2]), jax.random.key_data(jax.random.split(KEY, 2)))


def test_training_moves_the_statistics_of_its_own_network_and_nothing_else():
    networks = {"one": Normed(), "other": Normed()}
    params, state = init_networks(networks, {"one": (X,), "other": (X,)}, KEY, train=False)
    assert set(state["one"]) == {"batch_stats"}
    state["one"]["vectors"] = jnp.ones(2)
    out, new = apply(networks, "one", params, state, X, train=True)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    hidden = nn.Dense(3).apply({"params": params["one"]["Dense_0"]}, X)
    moved = new["one"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(moved, 0.1 * hidden.mean(0), rtol=1e-5)
    assert new["other"] is state["other"] and new["one"]["vectors"] is state["one"]["vectors"]
    assert (state["one"]["batch_stats"]["BatchNorm_0"]["mean"] == 0).all()

    out, kept = apply(networks, "one", params, new, X, train=False)
    assert kept is new and not np.allclose(out.mean(0), 0, atol=1e-2)


def test_options_reach_the_call_and_networks_without_state_keep_none():
    params, state = init_networks({"one": Normed()}, {"one": (X,)}, KEY, train=False)
    (once, twice), _ = apply({"one": Normed()}, "one", params, state, X, train=False, twice=True)
    same(twice, 2 * once)
    params = {"noisy": Noisy().init({"params": KEY, "noise": KEY}, X, train=True)["params"]}
    out, state = apply({"noisy": Noisy()}, "noisy", params, {}, X, train=True, rngs={"noise": KEY})
    assert out.shape == (4, 2) and state == {}
