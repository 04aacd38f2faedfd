"""Statistics against other estimators, by hand, and by coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterglow.cohort import statistics
from afterglow.errors import AfterglowError


def delong(y, score):
    """Return area and variance as DeLong (1988) gives them, voxel by voxel of the definition."""
    up, down = np.array(score)[np.array(y) == 1], np.array(score)[np.array(y) == 0]
    win = (up[:, None] > down).astype(float) + 0.5 * (up[:, None] == down)
    v10, v01 = win.mean(axis=1), win.mean(axis=0)
    return win.mean(), v10.var(ddof=1) / v10.size + v01.var(ddof=1) / v01.size


def test_with_one_lesion_a_patient_the_variance_is_delongs():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 60)
    score = np.round(rng.normal(0, 1, 60) + y, 1)
    area, variance = delong(y, score)
    found = statistics.clustered_auc(y, score, np.arange(60))
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.se**2 == pytest.approx(variance, rel=1e-12)


def test_the_area_is_sklearns():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    y, score = rng.integers(0, 2, 80), np.round(rng.normal(0, 1, 80), 1)
    found = statistics.clustered_auc(y, score, rng.integers(0, 20, 80))
    assert found.value == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_repeating_every_lesion_leaves_the_clustered_interval_alone():
    rng = np.random.default_rng(3)
    y, score = rng.integers(0, 2, 40), rng.normal(0, 1, 40)
    patient = np.arange(40)
    once = statistics.clustered_auc(y, score, patient)
    thrice = statistics.clustered_auc(*(np.repeat(a, 3) for a in (y, score, patient)))
    naive = delong(np.repeat(y, 3), np.repeat(score, 3))[1] ** 0.5
    assert thrice.se == pytest.approx(once.se, rel=1e-9)
    assert naive < 0.62 * once.se


def test_strata_compare_only_within():
    y, score = [1, 0, 1, 0], [0.9, 0.8, 0.2, 0.1]
    assert statistics.clustered_auc(y, score, list("abcd")).value == pytest.approx(0.75)
    assert statistics.clustered_auc(y, score, list("abcd"), [0, 0, 1, 1]).value == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_area_of_negated_scores_is_the_complement(seed, n_strata):
    rng = np.random.default_rng(seed)
    y, score = rng.integers(0, 2, 30), np.round(rng.normal(0, 1, 30), 1)
    patient, stratum = rng.integers(0, 12, 30), rng.integers(0, n_strata, 30)
    one = statistics.clustered_auc(y, score, patient, stratum).value
    other = statistics.clustered_auc(y, -score, patient, stratum).value
    if np.isfinite(one):
        assert one + other == pytest.approx(1.0, abs=1e-12)


def test_a_perfect_area_has_an_interval_of_its_patients():
    found = statistics.clustered_auc([1, 1, 0, 0, 0], [5, 4, 1, 2, 3], list("aabcd"))
    assert found.value == 1.0
    assert 0.02 < found.low < 0.03  # one patient with positives: 0.025
    assert found.high == 1.0


def test_one_class_has_no_area():
    assert np.isnan(statistics.clustered_auc([1, 1], [0.1, 0.2], ["a", "b"]).value)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(AfterglowError, match="not finite"):
        statistics.clustered_auc([1, 0], [np.nan, 0.2], ["a", "b"])


def coverage(n_cohorts, estimate):
    from scipy.stats import norm

    hits = 0
    truth = norm.cdf(1.0 / np.sqrt(2 * (1 + 4.0)))
    for seed in range(n_cohorts):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(50), 3)
        y = np.repeat(rng.integers(0, 2, 50), 3)
        score = y + np.repeat(rng.normal(0, 2, 50), 3) + rng.normal(0, 1, 150)
        low, high = estimate(y, score, patient)
        hits += low <= truth <= high
    return hits / n_cohorts


def clustered(y, score, patient):
    found = statistics.clustered_auc(y, score, patient)
    return found.low, found.high


def naive(y, score, patient):
    area, variance = delong(y, score)
    return area - 1.96 * variance**0.5, area + 1.96 * variance**0.5


def test_clustered_intervals_cover_where_naive_ones_do_not():
    assert 0.92 <= coverage(300, clustered) <= 0.98
    assert coverage(300, naive) < 0.85


def test_bootstrap_agrees_with_the_clustered_interval():
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(60), 3)
    y = np.repeat(rng.integers(0, 2, 60), 3)
    score = y + np.repeat(rng.normal(0, 1, 60), 3) + rng.normal(0, 1, 180)
    one = statistics.clustered_auc(y, score, patient)
    two = statistics.bootstrap_auc(y, score, patient, samples=400, seed=1)
    assert two.value == one.value
    assert two.low == pytest.approx(one.low, abs=0.03)
    assert two.high == pytest.approx(one.high, abs=0.03)


def test_the_difference_of_a_score_with_itself_is_nothing():
    rng = np.random.default_rng(6)
    y, a = rng.integers(0, 2, 40), rng.normal(0, 1, 40)
    found, p = statistics.compare_auc(y, a, a, np.arange(40))
    assert (found.value, found.se) == (0.0, 0.0)
    better, p = statistics.compare_auc(y, y + 0.1 * a, a, np.arange(40))
    assert better.low > 0.2
    assert p < 0.001


def test_calibration_of_known_distortions():
    rng = np.random.default_rng(7)
    logit = rng.normal(0, 1.5, 40_000)
    y = rng.random(40_000) < 1 / (1 + np.exp(-logit))

    def prob(z):
        return 1 / (1 + np.exp(-z))

    straight = statistics.calibration(y, prob(logit))
    assert (straight.slope, straight.intercept) == pytest.approx((1, 0), abs=0.05)
    steep = statistics.calibration(y, prob(2 * logit))
    assert steep.slope == pytest.approx(0.5, abs=0.03)
    high = statistics.calibration(y, prob(logit + 1))
    assert high.intercept == pytest.approx(-1, abs=0.05)


def test_calibration_agrees_with_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(8)
    p = rng.uniform(0.1, 0.9, 100)
    y = (rng.random(100) < p).astype(int)
    logit = np.log(p / (1 - p))
    fit = sm.Logit(y, sm.add_constant(logit)).fit(disp=0)
    found = statistics.calibration(y, p)
    assert found.slope == pytest.approx(fit.params[1], abs=1e-6)


def test_calibration_without_a_maximum_is_not_a_number():
    found = statistics.calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert np.isnan(found.slope)


def test_net_benefit_of_treating_all():
    y = np.array([1, 0, 0, 0])
    gain = statistics.net_benefit(y, np.ones(4), [0.2, 0.5])
    assert gain == pytest.approx([0.25 - 0.75 * 0.25, 0.25 - 0.75])


def test_the_interval_of_a_proportion_knows_of_patients():
    hit = np.array([1, 1, 1, 1, 0, 1, 0, 1, 1, 0])
    alone = statistics.clustered_proportion(hit, np.arange(10))
    assert alone == statistics.clopper_pearson(7, 10)
    thrice = statistics.clustered_proportion(np.repeat(hit, 3), np.repeat(np.arange(10), 3))
    assert (thrice.k, thrice.n) == (21, 30)
    naive = statistics.clopper_pearson(21, 30)
    assert thrice.high - thrice.low > 1.4 * (naive.high - naive.low)
    assert thrice.low < alone.low < naive.low
    sure = statistics.clustered_proportion(np.ones(30), np.repeat(np.arange(10), 3))
    assert (sure.low, sure.high) == (statistics.clopper_pearson(10, 10).low, 1.0)
    one = statistics.clustered_proportion([1, 0, 1], ["a", "a", "a"])
    assert one.high - one.low > 0.9


def test_that_interval_holds_the_truth_where_lesions_of_a_patient_agree():
    rng = np.random.default_rng(4)
    held = {"patients": 0, "lesions": 0}
    for _ in range(400):
        patient = np.repeat(np.arange(30), rng.integers(1, 6, 30))
        hit = rng.random(patient.size) < rng.beta(1.2, 0.3, 30)[patient]  # 0.8, correlation 0.4
        found = statistics.clustered_proportion(hit, patient)
        naive = statistics.clopper_pearson(int(hit.sum()), hit.size)
        held["patients"] += found.low <= 0.8 <= found.high
        held["lesions"] += naive.low <= 0.8 <= naive.high
    assert held["patients"] >= 372  # 93 %
    assert held["lesions"] <= 352  # 88 %


def test_wilson_and_exact_intervals():
    # Newcombe 1998, table I: 81 of 263
    assert statistics.wilson(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert statistics.wilson(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert statistics.clopper_pearson(0, 10).high == pytest.approx(1 - 0.025**0.1)
    with pytest.raises(AfterglowError):
        statistics.wilson(3, 2)


def test_the_pooled_interval_is_never_narrower_than_that_within_center():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300)
    patients, fold, center = (rng.integers(0, n, 300) for n in (80, 5, 5))
    score = y + rng.normal(0, 1.5, 300) + center
    pooled = statistics.pooled_auc(y, score, patients, fold, center)
    plain = statistics.clustered_auc(y, score, patients, fold)
    within = statistics.clustered_auc(
        y, score, patients, [f"{a}/{b}" for a, b in zip(fold, center, strict=True)]
    )
    assert pooled.value == plain.value
    assert pooled.se == max(plain.se, within.se) > plain.se
    assert pooled.low < plain.low
    assert pooled.high > plain.high
    assert statistics.pooled_auc(y, score, patients, fold, np.zeros(300)) == plain
