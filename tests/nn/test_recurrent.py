"""Recurrent layers: gradients against automatic ones, the carry over cuts in time, weight dropout, PyTorch's cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nn.recurrent import CELLS, Recurrent, empty_carry

KINDS = sorted(CELLS)
X = jax.random.normal(jax.random.key(0), (3, 7, 5))


def layer(kind, **options):
    module = Recurrent(kind, 4, **options)
    carry = jax.tree.map(lambda x: x + 0.3, empty_carry(kind, 3, 4))
    return module, carry, module.init(jax.random.key(1), X, carry)


def by_hand(kind, params, x, carry):
    """The same recurrence as an ordinary scan, which jax differentiates."""
    w = params["params"]
    x_TBGH = jnp.einsum("btd,dgh->tbgh", x, w["kernel"]) + w["bias"]

    def step(carry, x_BGH):
        from_state = jnp.einsum("bh,hgk->bgk", carry["h"], w["state_kernel"]) + w.get("state_bias", 0.0)
        carry = CELLS[kind].step(carry, x_BGH, from_state)
        return carry, carry["h"]

    last, h_TBH = jax.lax.scan(step, carry, x_TBGH)
    return h_TBH.swapaxes(0, 1), last


@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_and_its_gradients_are_those_of_the_plain_recurrence(kind):
    module, carry, params = layer(kind)

    def loss(run):
        def value(params, x, carry):
            out, last = run(params, x, carry)
            return (jnp.sin(out) * jnp.arange(7)[:, None]).sum() + sum((x**2).sum() for x in last.values())

        return jax.value_and_grad(value, argnums=(0, 1, 2))

    ours = loss(module.apply)(params, X, carry)
    theirs = loss(lambda *inputs: by_hand(kind, *inputs))(params, X, carry)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_cut_in_two_is_read_as_one_where_the_carry_goes_on(kind):
    module, carry, params = layer(kind)
    whole, last = module.apply(params, X, carry)
    first, middle = module.apply(params, X[:, :3], carry)
    second, end = module.apply(params, X[:, 3:], middle)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-5, atol=1e-6)
    for name in end:
        np.testing.assert_allclose(end[name], last[name], rtol=1e-5, atol=1e-6)


def test_weight_dropout_is_one_mask_for_all_rows_and_times_and_off_outside_of_training():
    module, carry, params = layer("lstm", weight_dropout=0.5)
    rng = {"weights": jax.random.key(3)}
    rows = jnp.broadcast_to(X[:1], X.shape)
    dropped, _ = module.apply(params, rows, carry, True, rngs=rng)
    np.testing.assert_allclose(dropped[0], dropped[1], rtol=1e-6)
    off, _ = module.apply(params, rows, carry)
    assert not np.allclose(dropped, off)
    np.testing.assert_array_equal(off, module.apply(params, rows, carry, False)[0])
    # A mask that does not depend on time: the second half, from what was carried, under the same key.
    whole, _ = module.apply(params, X, carry, True, rngs=rng)
    _, middle = module.apply(params, X[:, :3], carry, True, rngs=rng)
    np.testing.assert_allclose(module.apply(params, X[:, 3:], middle, True, rngs=rng)[0], whole[:, 3:], rtol=1e-5)


def test_the_carry_stays_float32_in_bfloat16():
    module, carry, params = layer("lstm", dtype="bfloat16")
    out, last = module.apply(params, X, carry)
    assert {x.dtype for x in (out, *last.values())} == {jnp.dtype("float32")}
    exact, _ = Recurrent("lstm", 4).apply(params, X, carry)
    assert not np.array_equal(out, exact)
    np.testing.assert_allclose(out, exact, atol=0.03)


@pytest.mark.peers
@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_pytorch(kind):
    torch = pytest.importorskip("torch")
    module, carry, params = layer(kind)
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](5, 4, batch_first=True)
    w = jax.tree.map(np.asarray, params["params"])

    def rows(kernel):  # (D, G, H) -> (G H, D)
        return torch.tensor(kernel.reshape(len(kernel), -1).T.copy())

    with torch.no_grad():
        peer.weight_ih_l0.copy_(rows(w["kernel"]))
        peer.weight_hh_l0.copy_(rows(w["state_kernel"]))
        peer.bias_ih_l0.copy_(torch.tensor(w["bias"].reshape(-1)))
        peer.bias_hh_l0.copy_(torch.tensor(w["state_bias"].reshape(-1)) if kind == "gru" else torch.zeros(16))
    x = torch.tensor(np.asarray(X), requires_grad=True)
    begin = [torch.tensor(np.asarray(carry[name]))[None] for name in CELLS[kind].carried]
    out, last = peer(x, tuple(begin) if kind == "lstm" else begin[0])
    ours, ends = module.apply(params, X, carry)
    np.testing.assert_allclose(ours, out.detach(), atol=1e-5)
    for name, end in zip(CELLS[kind].carried, last if kind == "lstm" else [last]):
        np.testing.assert_allclose(ends[name], end[0].detach(), atol=1e-5)
    (out**2).sum().backward()
    grads, dx = jax.grad(lambda p, x: (module.apply(p, x, carry)[0] ** 2).sum(), argnums=(0, 1))(params, X)
    np.testing.assert_allclose(dx, x.grad, atol=1e-5)
    for name, grad in (("kernel", peer.weight_ih_l0.grad), ("state_kernel", peer.weight_hh_l0.grad)):
        np.testing.assert_allclose(rows(np.asarray(grads["params"][name])), grad, atol=1e-5)
