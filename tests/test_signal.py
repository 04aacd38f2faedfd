"""Signal to concentration, and the arrival of the bolus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterglow.perfusion.signal import (
    bolus_arrival,
    delta_r2star,
    spgr_concentration,
    spgr_signal,
)


@settings(max_examples=60, deadline=None)
@given(
    t10=st.floats(0.2, 4.0),
    angle=st.floats(5.0, 40.0),
    peak=st.floats(0.0, 8.0),
    b1=st.floats(0.7, 1.3),
)
def test_concentration_inverts_the_signal(t10, angle, peak, b1):
    concentration = np.array([0.0, 0.0, peak, peak / 2])
    signal = spgr_signal(1 / t10 + 4.5 * concentration, 500.0, 0.005, angle * b1)
    found = spgr_concentration(signal, t10, 0.005, angle, 4.5, 2, b1=b1)
    np.testing.assert_allclose(found, concentration, atol=1e-7)


def test_signals_that_no_concentration_gives_are_nan():
    signal = np.array([10.0, 10.0, 1e4, np.nan, 12.0])
    found = spgr_concentration(signal, 1.0, 0.005, 15.0, 4.5, 2)
    assert np.isnan(found[2:4]).all()
    assert found[4] > 0
    assert np.isnan(spgr_concentration(signal, -1.0, 0.005, 15.0, 4.5, 2)).all()
    assert np.isnan(spgr_concentration(np.zeros(5), 1.0, 0.005, 15.0, 4.5, 2)).all()


def test_two_echoes_are_free_of_t1():
    t1_effect = np.array([1.0, 1.0, 1.4, 1.2])
    rate = np.array([0.0, 0.0, 30.0, 10.0])
    echoes = np.stack([100 * t1_effect * np.exp(-te * (20 + rate)) for te in (0.01, 0.03)])
    np.testing.assert_allclose(delta_r2star(echoes, [0.01, 0.03], 2), rate, atol=1e-9)
    assert np.isnan(delta_r2star([5.0, 5.0, 0.0], 0.03, 2)[2])


def gamma_variate(t, start, shape=3.0, scale=1.5):
    x = np.clip(t - start, 0, None)
    return (x / (shape * scale)) ** shape * np.exp(shape - x / scale)


@pytest.mark.parametrize("step", [1.5, 3.0, 5.0])
@pytest.mark.parametrize("noise", [0.005, 0.05])
@pytest.mark.parametrize("kind", ["dsc", "dr2s", "dce"])
def test_arrival_at_any_baseline(step, noise, kind):
    rng = np.random.default_rng(int(step * 10) + len(kind))
    t = np.arange(60) * step
    errors = []
    for _ in range(40):
        start = rng.uniform(4, 20) * step
        bolus = gamma_variate(t, start)
        late = (t > start) * (1 - np.exp(-np.clip(t - start, 0, None) / 10))
        curve = {
            "dsc": 100 * np.exp(-0.7 * bolus - 0.1 * late),
            "dr2s": 20 * bolus,
            "dce": 100 + 200 * bolus + 80 * late,
        }[kind]
        curve = curve + np.ptp(curve) * noise * rng.normal(size=t.size)
        errors.append((bolus_arrival(curve, t).seconds - start) / step)
    assert np.mean(np.abs(errors) <= 1.2) >= 0.97


def test_unsteady_first_frames_are_set_aside():
    t = np.arange(50) * 1.5
    curve = 100 * np.exp(-0.7 * gamma_variate(t, 30.0))
    curve[:3] += [80.0, 40.0, 15.0]
    found = bolus_arrival(curve + np.random.default_rng(1).normal(0, 0.5, t.size), t)
    assert found.first == 3
    assert abs(found.seconds - 30.0) < 1.5


@pytest.mark.parametrize("curve", [np.zeros(30), np.full(30, np.nan), np.ones(3)])
def test_no_bolus_is_said(curve):
    found = bolus_arrival(curve, np.arange(curve.size, dtype=float))
    assert np.isnan(found.seconds)
    assert found.confidence == 0.0


def test_noise_alone_is_seldom_taken_for_a_bolus():
    rng = np.random.default_rng(0)
    t = np.arange(60.0)
    sure = [bolus_arrival(rng.normal(100, 1, 60), t).confidence > 0.5 for _ in range(200)]
    assert np.mean(sure) < 0.15
