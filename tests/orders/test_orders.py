import numpy as np
import pytest

from genjax.errors import UsageError
from genjax.orders import Buckets, Epochs, Examples, Mixture, Packed, Poisson, Streams, Uniform, Unpaired, natural_order

RAGGED = Examples(200, {"a": np.arange(200) % 60 + 1, "b": np.arange(200) % 7 + 1}, 64)
WINDOWS = Examples(1000, follows=10)
PARTS = Examples(60, parts=(30, 20, 10))
DOMAINS = Examples(30, parts=(30, 20), unpaired=True)

ORDERS = [
    (Epochs(), Examples(50), 8),
    (Epochs(), Examples(5), 8),
    (Uniform(), WINDOWS, 8),
    (Streams(), WINDOWS, 8),
    (Buckets(), RAGGED, 8),
    (Buckets(bounds=(20, 60), tokens=200, multiple=2), RAGGED, 8),
    (Packed(), RAGGED, 8),
    (Poisson(), Examples(300), 16),
    (Mixture({"x": 0.25, "y": 0.25}), PARTS, 8),
    (Mixture({"x": 0.25}), Examples(2000, parts=(1500, 500), follows=10), 8),
    (Unpaired(), DOMAINS, 8),
]


def plans(order, examples, batch_size, steps, seed=3):
    plan = order.plans(examples, batch_size, seed)
    return [plan(step) for step in steps]


@pytest.mark.parametrize(("order", "examples", "batch_size"), ORDERS)
def test_a_plan_is_a_function_of_seed_and_step(order, examples, batch_size):
    order.check(examples, batch_size)
    forward = plans(order, examples, batch_size, range(60))
    backward = plans(order, examples, batch_size, reversed(range(60)))[::-1]
    for ours, theirs in zip(forward, backward):
        np.testing.assert_array_equal(ours.ids_B, theirs.ids_B)
        assert ours.lengths == theirs.lengths and ours.arrays.keys() == theirs.arrays.keys() == set(order.adds)
        for name in ours.arrays:
            np.testing.assert_array_equal(ours.arrays[name], theirs.arrays[name])
    other = plans(order, examples, batch_size, range(60), seed=4)
    assert any(not np.array_equal(a.ids_B, b.ids_B) for a, b in zip(forward, other))


@pytest.mark.parametrize(("order", "examples", "batch_size"), ORDERS)
def test_every_batch_has_one_of_the_shapes(order, examples, batch_size):
    shapes = {(rows, *lengths.items()) for rows, lengths in order.shapes(examples, batch_size)}
    found = {(len(plan.ids_B), *plan.lengths.items()) for plan in plans(order, examples, batch_size, range(300))}
    assert found == shapes


def test_streams_go_on_where_they_were():
    steps = 1000 // 8 // 10  # windows of a stream
    read = plans(Streams(), WINDOWS, 8, range(3 * steps))
    for step, plan in enumerate(read):
        assert plan.arrays["starts"].tolist() == [step % steps == 0] * 8
        if step % steps:
            np.testing.assert_array_equal(plan.ids_B, read[step - 1].ids_B + 10)
    assert max(plan.ids_B.max() for plan in read) < 1000
    assert len({plan.ids_B[0] for plan in read[::steps]}) > 1


@pytest.mark.parametrize("tokens", [0, 256])
def test_buckets_hold_their_rows_and_see_all_examples_equally_often(tokens):
    order = Buckets(bounds=(8, 16, 60), tokens=tokens)
    seen = np.zeros(200, int)
    longest_N = np.maximum(*RAGGED.lengths.values())
    for ids_B, lengths, _ in plans(order, RAGGED, 8, range(400)):
        assert lengths["a"] == lengths["b"] == min(bound for bound in (8, 16, 60) if longest_N[ids_B].max() <= bound)
        assert tokens == 0 or len(ids_B) == max(256 // lengths["a"] // 8, 1) * 8
        np.add.at(seen, ids_B, 1)
    assert seen.max() - seen.min() <= 2
    assert order.mean_rows(RAGGED, 8) == pytest.approx(seen.sum() / 400, rel=0.02)


def test_poisson_draws_every_example_by_itself():
    read = plans(Poisson(), Examples(300), 16, range(2000))
    drawn = [plan.ids_B[plan.arrays["valid"]] for plan in read]
    assert all(len(set(ids.tolist())) == len(ids) for ids in drawn)
    count = np.array([len(ids) for ids in drawn])
    assert abs(count.mean() - 16) < 0.3 and abs(count.var() - 16 * (1 - 16 / 300)) < 1.5  # binomial
    seen = np.bincount(np.concatenate(drawn), minlength=300) / len(read)
    assert abs(seen - 16 / 300).max() < 5 * np.sqrt(16 / 300 / len(read))
    assert len(read[0].ids_B) % 8 == 0 and len(read[0].ids_B) >= 16 + 6 * 4


def test_mixtures_keep_their_shares():
    for plan in plans(Mixture({"x": 0.25, "y": 0.25}), PARTS, 8, range(20)):
        assert [((plan.ids_B >= low) & (plan.ids_B < high)).sum() for low, high in ((0, 30), (30, 50), (50, 60))] == [
            4,
            2,
            2,
        ]
    ids = np.concatenate([plan.ids_B for plan in plans(Mixture({"x": 0.25, "y": 0.25}), PARTS, 8, range(30))])
    assert np.bincount(ids, minlength=60)[:30].tolist() == [4] * 30


def test_domains_have_permutations_of_their_own():
    ids = np.concatenate([plan.ids_B for plan in plans(Unpaired(), DOMAINS, 10, range(6))])
    assert np.bincount(ids[:, 0]).tolist() == [2] * 30 and np.bincount(ids[:, 1]).tolist() == [3] * 20
    assert len({tuple(pair) for pair in ids.tolist()}) > 50


@pytest.mark.parametrize(
    ("order", "examples", "message"),
    [
        (Streams(), Examples(100), "streams: needs windows of one long text"),
        (Streams(), Examples(50, follows=10), "has 5 windows of --data.context 10, fewer than the 8 streams"),
        (Buckets(), Examples(100), "buckets: needs texts of unequal length"),
        (Packed(), WINDOWS, "packed: needs texts of unequal length"),
        (Buckets(bounds=(8, 32)), RAGGED, "last bucket holds 32 tokens, but the longest row has 60"),
        (Buckets(bounds=(32, 8)), RAGGED, "must rise"),
        (Buckets(multiple=0), RAGGED, "at least 1"),
        (Poisson(), Examples(5), "8 expected examples a step cannot be drawn from 5"),
        (Mixture({}), PARTS, "needs a share above 0"),
        (Mixture({"x": 1.0}), PARTS, "together below 1"),
        (Mixture({"x": 0.01}), PARTS, "x has no row in a batch of 8"),
        (Unpaired(), Examples(100), "needs two domains"),
        (Epochs(), DOMAINS, "epochs: the data has unpaired domains"),
    ],
)
def test_an_order_that_the_data_cannot_give_is_refused_in_one_line(order, examples, message):
    with pytest.raises(UsageError, match=message) as raised:
        order.check(examples, 8)
    assert "\n" not in str(raised.value) and "--data.order" in str(raised.value)


def test_the_order_of_data_that_asks_for_none():
    assert [natural_order(each) for each in (Examples(9), WINDOWS, DOMAINS)] == [Epochs(), Uniform(), Unpaired()]
