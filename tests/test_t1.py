"""T1 of variable flip angles against the signal equation."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.perfusion import t1
from afterglow.perfusion.signal import spgr_signal

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
    _, signal = simulated(noise=0.02)
    one, two = (t1.fit_vfa(signal, ANGLES, 0.006, threads=n).t1 for n in (1, 2))
    np.testing.assert_array_equal(one, two)
