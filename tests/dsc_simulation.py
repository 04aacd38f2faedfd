"""Simulated DSC signals for the tests: signal equations, not the fitted models."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import gammainc

STEP = 0.05
TE, TR, FLIP, T1 = 0.03, 1.4, 60.0, 1.2


def gamma_bolus(t, arrival, shape=3.0, scale=1.5):
    x = np.clip(t - arrival, 0.0, None)
    curve = x**shape * np.exp(-x / scale)
    return curve / curve.max()


def convolve(curve, kernel):
    return fftconvolve(curve, kernel)[: curve.size] * STEP


def artery(t, arrival=16.8):
    first = gamma_bolus(t, arrival)
    second = 0.02 * convolve(gamma_bolus(t, arrival + 9.0), np.exp(-t / 8.0))
    slow = 0.004 * convolve(first, np.exp(-t / 200.0))
    return first + second + slow


def residue(t, mtt, shape):
    values = {
        "exp": np.exp(-t / mtt),
        "gamma": 1.0 - gammainc(3.0, 3.0 * t / mtt),
        "box": (t < mtt) * 1.0,
    }[shape].copy()
    values[0] *= 0.5
    return values


def tissue(t, arterial, cbf, mtt, delay=0.0, shape="exp"):
    curve = cbf / 6000.0 * convolve(arterial, residue(t, mtt, shape))
    return np.interp(t - delay, t, curve, left=0.0)


def epi(rates, r1_change, tr=TR, te=TE, flip=FLIP, t1=T1):
    """Return the relative signal of a gradient-echo EPI series in its steady state."""
    angle = np.deg2rad(flip)
    e1 = np.exp(-tr * (1.0 / t1 + r1_change))
    rest = np.exp(-tr / t1)
    steady = (1.0 - e1) / (1.0 - np.cos(angle) * e1)
    before = (1.0 - rest) / (1.0 - np.cos(angle) * rest)
    return steady / before * np.exp(-te * rates)


def leaky_scene(kind, n=200, noise=0.0, seed=0, strength=0.004):
    """Return delta R2* of lesions and reference voxels, the reference mask and true rCBV.

    80 frames of 1.4 s; leakage of a spread of strengths adds to R1, to R2*, or to both.
    """
    rng = np.random.default_rng(seed)
    fine, when = np.arange(0.0, 80 * TR, STEP), np.arange(80) * TR
    base = 6.0 * artery(fine)
    cbv = rng.uniform(0.5, 4.0, n)
    kep = 0.02 if "efflux" in kind else 0.0
    leaked = strength * rng.uniform(0.3, 1.0, n)[:, None] * convolve(base, np.exp(-kep * fine))
    r2 = 4.0 * leaked if "t2" in kind else 0.0 * leaked
    r1 = 0.25 * leaked if "t1" in kind else 0.0 * leaked
    clean = epi(cbv[:, None] * base + r2, r1)
    reference = np.tile(epi(base, 0.0), (400, 1))
    signal = np.stack([np.interp(when, fine, s) for s in np.vstack([clean, reference])])
    signal = signal + noise * rng.normal(size=signal.shape)
    rates = -np.log(signal / signal[:, :11].mean(axis=1, keepdims=True)) / TE
    return rates, np.arange(len(signal)) >= n, cbv
