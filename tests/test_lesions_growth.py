"""Exponent of growth and rates, against curves of known law."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.lesions.growth import change_per_month, growth_exponent

DAYS = np.array([0.0, 60, 120, 200, 300])


def law(exponent, days=DAYS, rate=0.008):
    if exponent == 1:
        return np.exp(rate * days)
    power = 1 - exponent
    return (1 + rate * power * days) ** (1 / power)


@pytest.mark.parametrize("exponent", [0.0, 2 / 3, 1.0, 1.3])
def test_the_exponent_of_known_growth_is_found(exponent):
    found = growth_exponent(DAYS, law(exponent), 0.02)
    assert found.exponent == pytest.approx(exponent, abs=0.02)
    assert found.low < exponent < found.high


def test_limits_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    hits = total = 0
    for _ in range(150):
        noisy = law(2 / 3) * np.exp(rng.normal(0, 0.03, len(DAYS)))
        found = growth_exponent(DAYS, noisy, 0.03)
        if not found.reason:
            total += 1
            hits += found.low <= 2 / 3 <= found.high
    assert total > 140
    assert 0.88 <= hits / total <= 0.99


def test_what_cannot_be_identified_says_so():
    assert growth_exponent(DAYS, [1, 2, 1.5, 1.2, 1.3], 0.03).reason == "fewer_than_three_growing"
    three = growth_exponent(DAYS[:3], [1.0, 1.2, 1.5])
    assert (three.reason, three.n) == ("no_repeatability", 3)
    assert growth_exponent(DAYS[:3], [1.0, 1.05, 1.1], 0.3).reason == "not_identifiable"
    assert growth_exponent([0, np.nan, 90], [1.0, 1.2, 1.5], 0.1).reason == "no_dates"
    assert np.isnan(three.exponent)


def test_only_the_last_run_of_growth_counts():
    values = [9.0, *law(1.0)]
    found = growth_exponent([-50.0, *DAYS], values, 0.02)
    assert found.n == 5
    assert found.exponent == pytest.approx(1.0, abs=0.02)


def test_rates_leave_out_what_is_gone_or_has_no_date():
    found = change_per_month([0, 30.4375, 60.875, None, 121.75], [1.0, 0.0, 4.0, 5.0, 16.0])
    np.testing.assert_allclose(found, [np.nan, np.nan, 100, np.nan, 100], rtol=1e-9)
