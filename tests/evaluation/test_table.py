"""Numbers in rows: seeds, intervals, the floor."""

import pytest

from genjax.evaluation.table import Row, rows, text


def test_one_set_of_samples():
    table = rows([{"elbo": -2.0, "fd40_x": 3.0, "fd40_x_se": 0.5, "task/precision40_x": 0.9}], {"fd30_x": 1.0})
    assert table == [
        Row("elbo", -2.0),
        Row("fd40_x", 3.0, error=0.5, floor=1.0),
        Row("task/precision40_x", 0.9),
    ]
    assert table[1].interval == pytest.approx((2.02, 3.98)) and table[0].interval is None


def test_several_seeds_have_a_mean_and_a_best():
    drawn = [{"fd9": x, "fd9_se": x / 10, "precision9": x / 10, "elbo": 5.0} for x in (2.0, 1.0, 3.0)]
    fd, precision, elbo = rows(drawn)
    assert (fd.value, fd.error, fd.best, fd.seeds) == (2.0, pytest.approx(0.2), 1.0, (2.0, 1.0, 3.0))
    assert precision.best == 0.3 and elbo == Row("elbo", 5.0)


def test_each_line_begins_with_name_and_value():
    assert text([Row("elbo", -2.0)]).split() == ["elbo", "-2"]
    heads, first, second = text([Row("elbo", 1 / 3), Row("fd9", 2.0, 0.5, 1.25, (2.5, 1.5), 1.5)]).splitlines()
    assert heads.split() == ["mean", "of", "2", "best", "of", "2", "95%", "interval", "real", "images"]
    assert first.split() == ["elbo", "0.333333"]
    assert second.split() == ["fd9", "2", "1.5", "[1.02,", "2.98]", "1.25"]
