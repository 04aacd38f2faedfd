"""PSR, peak height, windows, normalisation and acquisition domain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterglow.errors import NotEvaluable
from afterglow.perfusion import dsc

TR = 1.4
TIME = np.arange(80) * TR


def curve(arrival=12, drop=0.3, recovery=0.8, n_time=80):
    """Return a signal that falls by ``drop`` and recovers to ``recovery`` of it."""
    x = np.clip(np.arange(n_time) * TR - arrival * TR, 0.0, None) / 8.0
    dip = x**3 * np.exp(3 * (1 - x))
    return (
        100.0 - 100.0 * drop * dip - 100 * (1 - recovery) * drop * np.clip(x - 1, 0, 1) * (1 - dip)
    )


def truth(signal, arrival):
    tail = (arrival + 50 <= TIME) & (arrival + 60 >= TIME)
    low = signal[arrival + 50 > TIME].min()
    return 100 * (signal[tail].mean() - low) / (100 - low)


@given(st.floats(0.1, 0.8), st.floats(-0.2, 1.6), st.integers(4, 24))
@settings(max_examples=40, deadline=None)
def test_exact_on_analytic_curves_and_never_clipped(drop, recovery, arrival):
    signal = curve(arrival, drop, recovery)
    start = arrival * TR
    found = float(dsc.psr(signal, TIME, arrival=start, baseline=arrival))
    assert found == pytest.approx(truth(signal, start), abs=1e-6)
    low = signal[start + 50 > TIME].min()
    height = dsc.peak_height(signal, TIME, arrival=start, baseline=(0, arrival))
    assert float(height) == pytest.approx(100 - low, abs=1e-6)
    rates = dsc.peak_height(signal, TIME, kind="dr2s", te=0.03, arrival=start, baseline=arrival)
    assert float(rates) == pytest.approx(-np.log(low / 100) / 0.03, abs=1e-6)


def test_overshoot_is_kept():
    assert float(dsc.psr(curve(recovery=1.3), TIME, arrival=12 * TR, baseline=12)) > 120


@pytest.mark.parametrize("drop", [0.3, 0.5])
@pytest.mark.parametrize("recovery", [0.6, 0.8, 1.15])
def test_noise_does_not_bias_a_region(drop, recovery):
    rng = np.random.default_rng(5)
    signal = curve(drop=drop, recovery=recovery)
    errors, heights = [], []
    for _ in range(12):
        region = signal + rng.normal(0, 5, (100, 80))
        found = dsc.psr(region, TIME, arrival=12 * TR, baseline=(0, 12))
        errors.append(np.nanmedian(found) - truth(signal, 12 * TR))
        height = dsc.peak_height(region, TIME, arrival=12 * TR, baseline=(0, 12))
        heights.append(np.nanmedian(height) - (100 - signal.min()))
    assert abs(np.mean(errors)) < 1.0
    assert np.sqrt(np.mean(np.square(errors))) < 2.0
    assert abs(np.mean(heights)) < 1.0


def test_flat_signal_has_no_value():
    noise = 100 + np.random.default_rng(0).normal(0, 3, (50, 80))
    assert np.isnan(dsc.psr(noise, TIME, arrival=17, baseline=(0, 12))).mean() > 0.8
    assert np.isnan(dsc.psr(np.full(80, 100.0), TIME, arrival=17.0, baseline=12))


def test_baseline_in_frames_or_seconds():
    signal = curve()
    signal[:3] *= (1.5, 1.15, 1.04)
    first = dsc.psr(signal, TIME, arrival=12 * TR, baseline=(3, 12))
    second = dsc.psr(signal, TIME, arrival=12 * TR, baseline=(4.0, 16.0))
    assert float(first) == pytest.approx(float(second), abs=1e-9)
    assert float(dsc.psr(signal, TIME)) == pytest.approx(float(first), abs=1.0)


@pytest.mark.parametrize("arrival", [5, 12, 30, 60])
def test_windows_follow_the_bolus(arrival):
    rng = np.random.default_rng(2)
    found = dsc.find_windows(curve(arrival) + rng.normal(0, 0.4, 80), TIME)
    assert abs(found.arrival - arrival * TR) < 2.5 * TR
    assert found.baseline[1] <= arrival + 2
    assert found.confidence > 0.6
    assert found.first_pass[0] <= found.peak < found.first_pass[1]
    assert (found.tail is None) == (arrival == 60)
    if arrival == 5:
        assert "short_baseline" in found.warnings[0]
    if found.tail:
        assert TIME[found.tail[0]] - found.arrival >= 50


def test_first_frames_before_the_steady_state_are_dropped():
    signal = curve(14)
    signal[:2] *= (1.5, 1.15)
    assert dsc.find_windows(signal, TIME).baseline[0] == 2


def test_refusals_name_the_reason():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, 80)
    cases = {
        "no_bolus": 100 + noise,
        "no_baseline": curve(1) + noise,
        "bolus_cut_off": curve(76) + noise,
        "several_boluses": curve(12) + curve(50) - 100 + noise,
    }
    for reason, signal in cases.items():
        with pytest.raises(NotEvaluable) as refused:
            dsc.find_windows(signal, TIME)
        assert refused.value.reason == reason
    with pytest.raises(NotEvaluable) as refused:
        dsc.psr(curve(60) + noise, TIME)
    assert refused.value.reason == "tail_outside_series"


def test_normalisation():
    cbv = np.array([2.0, 3.0, 4.0, 9.0, np.nan])
    mask = np.array([True, True, True, False, True])
    np.testing.assert_allclose(dsc.normalize_rcbv(cbv, mask)[:4], [2 / 3, 1, 4 / 3, 3])
    with pytest.raises(ValueError, match="no finite"):
        dsc.normalize_rcbv(cbv, np.zeros(5, bool))
    with pytest.raises(ValueError, match="not positive"):
        dsc.normalize_rcbv(-cbv, mask)
    assert dsc.log_normalized_psr([80.0, 80.0, 40.0], [1, 1, 0])[2] == pytest.approx(np.log(0.5))


def test_standardised_values_do_not_depend_on_scale():
    rng = np.random.default_rng(0)
    brain = np.exp(rng.normal(0, 0.35, 5000)) * np.repeat([1.0, 2.2], 2500)
    lesion = np.array([0.0, 3.0, 9.0, -1.0])
    values = np.concatenate([brain, lesion])
    mask = np.arange(values.size) < 5000
    found = [dsc.standardize_rcbv(scale * values, mask) for scale in (1.0, 170.0)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    assert np.all(np.diff(found[0][np.argsort(values)]) >= 0)
    assert found[0][5000] == 0.0
    with pytest.raises(ValueError, match="too few"):
        dsc.standardize_rcbv(values, np.arange(values.size) < 20)


def test_burden_classes_add_up():
    rcbv = np.array([0.5, 1.0, 1.2, 1.75, 1.8, np.nan])
    found = dsc.fractional_tumor_burden(rcbv, np.ones(6, bool))
    assert found.n_voxels == 5
    assert (found.low, found.middle, found.high) == pytest.approx((0.4, 0.4, 0.2))


def test_domain():
    facts = {
        "field_strength": 3.0,
        "echo_times": (0.03,),
        "repetition_time": 1.4,
        "flip_angle": 60.0,
        "preload": "dce",
        "agent": "gadobutrol",
        "dose": 0.1,
    }
    assert dsc.assess_domain(**facts).protocol == "consensus_preload"
    low = dsc.assess_domain(**facts | {"flip_angle": 30.0, "preload": "none"})
    assert low.protocol == "consensus_low_flip"
    assert dsc.assess_domain(**facts | {"preload": "none"}).protocol == "outside"
    assert dsc.assess_domain(**facts | {"dose": None}).protocol == "unknown"
    long = dsc.assess_domain(**facts | {"echo_times": (0.05,)})
    assert long.protocol == "outside"
    assert "50 ms" in long.deviations[0]
