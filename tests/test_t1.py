"""T1 of flip angles, inversion recovery and both together, against their signal equations."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.perfusion import t1
from afterglow.perfusion.signal import spgr_signal
from afterglow.perfusion.t1_mp2rage import combined_image
from afterglow.perfusion.t1_steady_state import inversion_signals

ANGLES = np.array([2.0, 5.0, 10.0, 15.0, 25.0])


def simulated(n=4000, noise=0.0, b1=1.0):
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.3, 3.0, n)
    signal = spgr_signal(1 / truth[:, None], 1000.0, 0.006, ANGLES * b1)
    return truth, signal + noise * signal.max(axis=1, keepdims=True) * rng.normal(size=signal.shape)


@pytest.mark.parametrize("method", ["nonlinear", "linear"])
@pytest.mark.parametrize("b1", [0.8, 1.0, 1.15])
def test_exact_without_noise(method, b1):
    truth, signal = simulated(b1=b1)
    found = t1.fit_vfa(signal, ANGLES, 0.006, b1=b1, method=method)
    np.testing.assert_allclose(found.t1, truth, rtol=1e-6)
    assert found.evaluable.all()


def test_errors_cover_the_truth():
    truth, signal = simulated(noise=0.01)
    found = t1.fit_vfa(signal, ANGLES, 0.006)
    assert np.median(np.abs(found.t1 / truth - 1)) < 0.0175
    covered = np.abs(found.t1 - truth) < 3.182 * found.standard_errors["t1"]
    assert 0.93 < covered.mean() < 0.97


def test_input_without_t1_gives_nan_and_no_exception():
    bad = np.array([[np.nan] * 5, [0.0] * 5, [-1.0] * 5, [1, 2, 4, 8, 16], [5.0] * 5])
    found = t1.fit_vfa(bad, ANGLES, 0.006)
    assert not found.evaluable.any()


def test_threads_do_not_change_the_result():
    _, signal = simulated(n=50_000, noise=0.02)
    one, two = (t1.fit_vfa(signal, ANGLES, 0.006, threads=n).t1 for n in (1, 2))
    np.testing.assert_array_equal(one, two)


TRAIN = {"flip_angle_ir": 5.0, "tr_ir": 0.0065, "cycle": 1.8, "pulses": (32, 32)}
TIMES = [0.35, 0.6, 1.1]


def hifi_signals(n=2000, noise=0.0, seed=5):
    rng = np.random.default_rng(seed)
    t1_truth, b1_truth = rng.uniform(0.5, 2.5, n), rng.uniform(0.75, 1.25, n)
    vfa = spgr_signal(1 / t1_truth[:, None], 1000.0, 0.006, ANGLES * b1_truth[:, None])
    ir = np.stack(
        [
            1000 * inversion_signals(t1_truth, b1_truth, [time], [5.0], 0.0065, (32, 32), 1.8)[:, 0]
            for time in TIMES
        ],
        axis=1,
    )
    spread = noise * vfa.max(axis=1, keepdims=True)
    vfa = vfa + spread * rng.normal(size=vfa.shape)
    ir = np.abs(ir + spread * rng.normal(size=ir.shape))
    return t1_truth, b1_truth, vfa, ir


def test_steady_state_is_that_of_the_pulses_one_by_one():
    t1_s, angle, tr, cycle, pulses, efficiency = 1.1, np.deg2rad(6.0), 0.008, 1.5, 40, 0.95
    level = 1.0
    for _ in range(60):
        level = 1 - (1 + efficiency * level) * np.exp(-(0.5 - 20 * tr) / t1_s)
        for number in range(pulses):
            if number == 20:
                seen = level * np.sin(angle)
            level = 1 - (1 - level * np.cos(angle)) * np.exp(-tr / t1_s)
        level = 1 - (1 - level) * np.exp(-(cycle - 0.5 - 20 * tr) / t1_s)
    found = inversion_signals(t1_s, 1.0, [0.5], [6.0], tr, (20, 20), cycle, efficiency)
    assert abs(found[0] / seen - 1) < 1e-9


def test_hifi_finds_t1_and_flip_angle_ratio():
    t1_truth, b1_truth, vfa, ir = hifi_signals()
    found = t1.fit_hifi(vfa, ANGLES, 0.006, ir, TIMES, **TRAIN)
    np.testing.assert_allclose(found.t1, t1_truth, rtol=1e-5)
    np.testing.assert_allclose(found.b1, b1_truth, rtol=1e-5)
    blind = t1.fit_vfa(vfa, ANGLES, 0.006).t1
    assert np.median(np.abs(blind / t1_truth - 1)) > 0.1


def test_hifi_intervals_cover_the_truth():
    t1_truth, _, vfa, ir = hifi_signals(noise=0.01)
    found = t1.fit_hifi(vfa, ANGLES, 0.006, ir, TIMES, **TRAIN)
    error = np.abs(found.t1 - t1_truth)[found.evaluable]
    assert found.evaluable.mean() > 0.95
    assert np.median(error / t1_truth[found.evaluable]) < 0.03
    covered = error < 2.571 * found.standard_errors["t1"][found.evaluable]
    assert 0.92 < covered.mean() < 0.98


@pytest.mark.parametrize("magnitude", [True, False])
def test_inversion_recovery_restores_the_sign(magnitude):
    rng = np.random.default_rng(8)
    truth = rng.uniform(0.3, 3.0, 500)
    times = np.array([0.05, 0.15, 0.4, 0.9, 1.8, 3.5, 6.0])
    signal = 700 * (1 - 1.85 * np.exp(-times / truth[:, None]))
    order = rng.permutation(times.size)
    given = np.abs(signal) if magnitude else signal
    found = t1.fit_inversion_recovery(given[:, order], times[order], magnitude=magnitude)
    np.testing.assert_allclose(found.t1, truth, rtol=1e-4)
    noisy = signal + rng.normal(0, 7.0, signal.shape)
    found = t1.fit_inversion_recovery(
        np.abs(noisy) if magnitude else noisy, times, magnitude=magnitude
    )
    covered = np.abs(found.t1 - truth) < 2.776 * found.standard_errors["t1"]
    assert covered.mean() > 0.92


@pytest.mark.parametrize("b1", [0.8, 1.0, 1.2])
def test_mp2rage_with_the_flip_angle_ratio(b1):
    truth = np.linspace(0.6, 3.0, 200)
    how = ([0.8, 2.7], [4.0, 5.0], 0.007, 6.0, (80, 80))
    signals = inversion_signals(truth, b1, *how[:3], how[4], how[3], 0.96)
    image = combined_image(signals[:, 0], signals[:, 1])
    found = t1.fit_mp2rage(image, *how, b1=b1, noise=0.005)
    np.testing.assert_allclose(found.t1, truth, rtol=2e-3)
    assert (found.standard_errors["t1"] > 0).all()
    assert not t1.fit_mp2rage(np.array([0.6, np.nan]), *how).evaluable.any()


def test_other_methods_flag_what_holds_no_t1():
    bad = np.array([[np.nan] * 5, [0.0] * 5, [-1.0] * 5, [5.0] * 5, [1.0, 2, 4, 8, 16]])
    found = t1.fit_inversion_recovery(bad, [0.1, 0.4, 0.9, 2.0, 4.0])
    assert not found.evaluable[:4].any()
    both = t1.fit_hifi(bad[:4], ANGLES, 0.006, bad[:4, :3], TIMES, **TRAIN)
    assert not both.evaluable.any()
    with pytest.raises(ValueError, match="do not fit"):
        inversion_signals(1.0, 1.0, [0.1], [5.0], 0.01, (20, 20), 1.0)
