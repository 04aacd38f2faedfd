"""Leakage correction against signals made by the signal equations."""

from __future__ import annotations

import numpy as np
import pytest

from afterglow.perfusion import dsc
from dsc_simulation import STEP, TE, TR, artery, convolve, epi

FINE = np.arange(0.0, 80 * TR, STEP)
TIME = np.arange(80) * TR
BASE = 6.0 * artery(FINE)


def scene(kind, n=200, noise=0.0, seed=0, strength=0.004):
    """Return delta R2* of lesions and reference voxels, the reference mask and true rCBV."""
    rng = np.random.default_rng(seed)
    cbv = rng.uniform(0.5, 4.0, n)
    kep = 0.02 if "efflux" in kind else 0.0
    leaked = strength * rng.uniform(0.3, 1.0, n)[:, None] * convolve(BASE, np.exp(-kep * FINE))
    r2 = 4.0 * leaked if "t2" in kind else 0.0 * leaked
    r1 = 0.25 * leaked if "t1" in kind else 0.0 * leaked
    clean = epi(cbv[:, None] * BASE + r2, r1)
    reference = np.tile(epi(BASE, 0.0), (400, 1))
    signal = np.stack([np.interp(TIME, FINE, s) for s in np.vstack([clean, reference])])
    signal = signal + noise * rng.normal(size=signal.shape)
    rates = -np.log(signal / signal[:, :11].mean(axis=1, keepdims=True)) / TE
    return rates, np.arange(len(signal)) >= n, cbv


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
    value, found = ratio(*scene(kind, n, noise), model)
    assert np.median(value) == pytest.approx(1.0, abs=0.02)
    assert (found.kep is None) == (model == "bsw")
    if noise == 0:
        assert np.abs(np.percentile(value, [5, 95]) - 1).max() < 0.05


def test_leakage_shows_its_sign_and_rate():
    for kind, sign in (("t1", 1), ("t2", -1)):
        rates, mask, _ = scene(kind)
        assert np.all(np.sign(dsc.leakage_correct(rates, TIME, mask).k2[~mask]) == sign)
    rates, mask, _ = scene("t2 efflux")
    found = dsc.leakage_correct(rates, TIME, mask, "bidirectional")
    assert np.median(found.kep[~mask]) == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("model", ["bsw", "bidirectional"])
def test_data_without_leakage_hardly_change(model):
    rates, mask, _ = scene("none")
    found = dsc.leakage_correct(rates, TIME, mask, model)
    assert np.abs(dsc.area(found.corrected, TIME) / dsc.area(rates, TIME) - 1).max() < 0.01


def test_a_delayed_voxel_needs_the_shape_term():
    reference = np.interp(TIME, FINE, BASE)
    late = 2.0 * np.interp(TIME - 2.0, FINE, BASE)
    data, mask = np.stack([reference, late]), np.array([True, False])
    errors = []
    for terms in (0, 1):
        found = dsc.leakage_correct(data, TIME, mask, shape_terms=terms)
        errors.append(abs(dsc.area(found.corrected[1], TIME) / dsc.area(late, TIME) - 1))
    assert errors[1] < 0.6 * errors[0]


def test_censored_frames_do_not_matter():
    rates, mask, cbv = scene("t2")
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
    rates, mask, _ = scene("none", 5)
    with pytest.raises(ValueError, match="no finite voxel"):
        dsc.leakage_correct(rates, TIME, np.zeros_like(mask))
    with pytest.raises(ValueError, match="model"):
        dsc.leakage_correct(rates, TIME, mask, "other")
    rates[0] = np.nan
    assert np.isnan(dsc.leakage_correct(rates, TIME, mask).k2[0])
