"""Leakage correction against signals made by the signal equations."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.perfusion import dsc
from dsc_simulation import STEP, TE, TR, artery, convolve, leaky_scene

FINE = np.arange(0.0, 80 * TR, STEP)
TIME = np.arange(80) * TR
BASE = 6.0 * artery(FINE)


def ratio(rates, mask, cbv, model, **options):
    found = dsc.leakage_correct(rates, TIME, mask, model, **options)
    reference = dsc.area(rates[mask].mean(axis=0), TIME)
    return dsc.area(found.corrected[~mask], TIME) / reference / cbv, found


@pytest.mark.parametrize("noise", [0.0, 1 / 50])
@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("none", "bsw"),
        ("none", "bidirectional"),
        ("t1", "bsw"),
        ("t2", "bsw"),
        ("t1", "bidirectional"),
        ("t2", "bidirectional"),
        ("t1 efflux", "bidirectional"),
        ("t2 efflux", "bidirectional"),
    ],
)
def test_corrected_volume_is_true(kind, model, noise):
    n = 200 if noise == 0 else 600
    value, found = ratio(*leaky_scene(kind, n, noise), model)
    assert np.median(value) == pytest.approx(1.0, abs=0.02)
    assert (found.kep is None) == (model == "bsw")
    if noise == 0:
        assert np.abs(np.percentile(value, [5, 95]) - 1).max() < 0.05


@pytest.mark.parametrize(
    ("kind", "model", "adapt"),
    [
        ("t1", "bsw", False),
        ("t2", "bsw", True),
        ("t1 t2", "bsw", False),
        ("t1", "bsw", True),
        ("t1 efflux", "bidirectional", False),
        ("t2 efflux", "bidirectional", False),
    ],
)
def test_strong_leakage_spares_no_voxel(kind, model, adapt):
    """Uncorrected CBV reads half to twice the truth here, and below zero in some voxels."""
    value, _ = ratio(*leaky_scene(kind, strength=0.008), model, adapt=adapt)
    assert np.abs(np.percentile(value, [5, 95]) - 1).max() < 0.02
    # A lesion is a region: the medians of 100 voxels each, at SNR 50.
    rng = np.random.default_rng(4)
    rates, mask, cbv = leaky_scene(kind, 40, strength=0.008)
    signal = np.exp(-TE * np.repeat(rates[~mask], 100, axis=0))
    signal += rng.normal(size=signal.shape) / 50
    noisy = -np.log(signal / signal[:, :11].mean(axis=1, keepdims=True)) / TE
    data = np.concatenate([noisy, rates[mask]])
    voxels = np.arange(len(data)) >= len(noisy)
    value, _ = ratio(data, voxels, np.repeat(cbv, 100), model, adapt=adapt)
    lesions = np.median(value.reshape(40, 100), axis=1)
    assert np.abs(np.percentile(lesions, [5, 95]) - 1).max() < 0.05


def test_leakage_shows_its_sign_and_rate():
    for kind, sign in (("t1", 1), ("t2", -1)):
        rates, mask, _ = leaky_scene(kind)
        assert np.all(np.sign(dsc.leakage_correct(rates, TIME, mask).k2[~mask]) == sign)
    rates, mask, _ = leaky_scene("t2 efflux")
    found = dsc.leakage_correct(rates, TIME, mask, "bidirectional")
    assert np.median(found.kep[~mask]) == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("model", ["bsw", "bidirectional"])
def test_data_without_leakage_hardly_change(model, adapt):
    rates, mask, _ = leaky_scene("none")
    found = dsc.leakage_correct(rates, TIME, mask, model, adapt=adapt)
    assert np.abs(dsc.area(found.corrected, TIME) / dsc.area(rates, TIME) - 1).max() < 0.01


@pytest.mark.parametrize("model", ["bsw", "bidirectional"])
def test_late_and_slow_voxels_need_an_adapted_reference(model):
    data = np.stack(
        [
            np.interp(TIME - delay, FINE, convolve(BASE, np.exp(-FINE / transit) / transit))
            for delay, transit in ((0.0, 4.5), (2.0, 4.5), (0.5, 6.5), (1.2, 9.0))
        ]
    )
    mask = np.arange(4) == 0
    errors = []
    for adapt in (False, True):
        found = dsc.leakage_correct(data, TIME, mask, model, adapt=adapt)
        area = dsc.area(found.corrected, TIME)[1:] / dsc.area(data, TIME)[1:]
        errors.append(np.abs(area - 1).max())
    assert errors[0] > 0.08
    assert errors[1] < (0.04 if model == "bsw" else 0.1)


def test_censored_frames_do_not_matter():
    rates, mask, cbv = leaky_scene("t2")
    kept = np.ones(TIME.size, bool)
    kept[[20, 40]] = False
    spoiled = rates.copy()
    spoiled[:, [20, 40]] = np.nan
    value = dsc.leakage_correct(spoiled, TIME, mask, "bidirectional", kept=kept)
    clean = dsc.leakage_correct(rates, TIME, mask, "bidirectional")
    np.testing.assert_allclose(value.k1, clean.k1, rtol=0.03)
    np.testing.assert_allclose(
        dsc.area(value.corrected, TIME, None, kept)[~mask] / cbv,
        dsc.area(clean.corrected, TIME)[~mask] / cbv,
        rtol=0.05,
    )


def test_refusals():
    rates, mask, _ = leaky_scene("none", 5)
    with pytest.raises(ValueError, match="no finite voxel"):
        dsc.leakage_correct(rates, TIME, np.zeros_like(mask))
    with pytest.raises(ValueError, match="model"):
        dsc.leakage_correct(rates, TIME, mask, "other")
    rates[0] = np.nan
    assert np.isnan(dsc.leakage_correct(rates, TIME, mask).k2[0])
