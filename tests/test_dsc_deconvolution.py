"""Deconvolution: truth, delay, noise, OSIPI's reference cases."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from afterglow.perfusion import dsc
from dsc_simulation import STEP, artery, tissue

FINE = np.arange(0.0, 90.0, STEP)
TIME = np.arange(60) * 1.5
AIF = np.interp(TIME, FINE, artery(FINE))


def curve(cbf, mtt, delay=0.0, shape="exp"):
    return np.interp(TIME, FINE, tissue(FINE, artery(FINE), cbf, mtt, delay, shape))


@pytest.mark.parametrize("method", ["osvd", "csvd"])
@pytest.mark.parametrize("shape", ["exp", "gamma", "box"])
def test_flow_does_not_depend_on_delay(method, shape):
    for mtt in (3.0, 6.0, 12.0):
        curves = np.stack([curve(60, mtt, d, shape) for d in np.arange(0.0, 6.01, 0.5)])
        cbf = dsc.deconvolve(curves, AIF, TIME, method).cbf
        assert np.abs(cbf / cbf[0] - 1).max() < 0.03


@pytest.mark.parametrize("method", ["osvd", "csvd", "ssvd", "tikhonov", "vascular"])
def test_blood_volume_is_the_ratio_of_areas(method):
    truth = np.array([2.0, 4.0])
    curves = np.stack([curve(60 * v / 4.0, 4.0) for v in truth])
    found = dsc.deconvolve(curves, AIF, TIME, method)
    np.testing.assert_allclose(found.cbv, truth, rtol=0.01)
    assert found.evaluable.all()
    assert np.all(found.cbf[1] / found.cbf[0] == pytest.approx(2.0, rel=0.02))


def test_delay_is_measured_on_both_sides_of_the_artery():
    delays = np.array([-2.0, 0.0, 1.0, 3.0, 5.0])
    curves = np.stack([curve(50, 5.0, d) for d in delays])
    for method, limit in (("csvd", 0.6), ("osvd", 0.6), ("vascular", 0.3)):
        found = dsc.deconvolve(curves, AIF, TIME, method)
        assert np.abs(found.delay - delays).max() < limit
        assert np.all(np.diff(found.tmax) > 0)


@pytest.mark.parametrize("shape", ["exp", "gamma", "box"])
def test_dictionary_flow_follows_truth_in_noise(shape):
    rng = np.random.default_rng(3)
    n = 250
    mtt, cbv, delay = rng.uniform(2, 12, n), rng.uniform(2, 5, n), rng.uniform(0, 4, n)
    cbf = 60 * cbv / mtt
    clean = np.stack([curve(*p, shape) for p in zip(cbf, mtt, delay, strict=True)])
    noisy = clean + rng.normal(size=clean.shape) * clean.max(axis=1, keepdims=True) / 20
    found = dsc.deconvolve(noisy, AIF, TIME, "vascular")
    assert np.corrcoef(found.cbf, cbf)[0, 1] >= 0.93
    assert found.cth is not None
    tikhonov = dsc.deconvolve(noisy, AIF, TIME, "tikhonov")
    assert np.corrcoef(tikhonov.cbf, cbf)[0, 1] >= 0.8


def test_oscillation_limit_picks_the_smallest_passing_threshold():
    noisy = curve(50, 4.0) + np.random.default_rng(0).normal(size=60) * 0.002
    strict = dsc.deconvolve(noisy, AIF, TIME, "osvd", oscillation_index=0.02)
    loose = dsc.deconvolve(noisy, AIF, TIME, "osvd", oscillation_index=0.2)
    assert strict.cbf < loose.cbf


def test_uneven_frames_and_scaling():
    rng = np.random.default_rng(1)
    uneven = np.sort(TIME + rng.uniform(-0.3, 0.3, 60))
    aif = np.interp(uneven, FINE, artery(FINE))
    data = np.interp(uneven, FINE, tissue(FINE, artery(FINE), 50, 5.0))
    found = dsc.deconvolve(data, aif, uneven, "csvd", kappa=0.7)
    even = dsc.deconvolve(curve(50, 5.0), AIF, TIME, "csvd")
    assert found.cbf == pytest.approx(0.7 * even.cbf, rel=0.05)
    assert found.cbv == pytest.approx(0.7 * even.cbv, rel=0.02)


def test_unusable_input():
    curves = np.stack([curve(50, 5.0), np.zeros(60), np.full(60, np.nan)])
    found = dsc.deconvolve(curves, AIF, TIME, "osvd")
    assert found.evaluable.tolist() == [True, False, False]
    assert np.isnan(found.cbf[1:]).all()
    with pytest.raises(ValueError, match="positive area"):
        dsc.deconvolve(curves, -AIF, TIME)
    with pytest.raises(ValueError, match="disagree"):
        dsc.deconvolve(curves, AIF[:-1], TIME)


def osipi_cases():
    default = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("AFTERGLOW_SHARED", default))
    path = path / "data/perfusion/osipi/DSCmodels/dsc_data.csv"
    if not path.exists():
        pytest.skip("the OSIPI reference data are not there (AFTERGLOW_SHARED)")
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", ["osvd", "ssvd", "tikhonov", "vascular"])
def test_osipi_cases(method):
    cases = osipi_cases()
    for case in cases if method == "osvd" else cases[::4]:
        tis, aif = (np.array(case[k].split(), float) for k in ("C_tis", "C_aif"))
        time = np.arange(tis.size) * float(case["tr"])
        found = dsc.deconvolve(tis, aif, time, method)
        cbf = float(case["cbf"])
        assert abs(float(found.cbv) - float(case["cbv"])) <= 1.0
        assert abs(float(found.cbf) - cbf) <= 15 + 0.1 * cbf
