"""Contrast agent, relaxation and signal, on a 0.1 s grid.

Nothing here is shared with the code that analyses the signals: the phantom judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

STEP = 0.1
# Bulk arterial blood, linear term (Akbudak & Conturo 1996); vessels in tissue (Kjolby 2006) at 3 T,
# an effect of susceptibility and so proportional to the field.
BLOOD_R2S = 7.62
TISSUE_R2S = 87.0
KJOLBY_FIELD = 3.0
DUMMIES = 2

# Shen 2015, whole blood, 37 C, 1/s/mM: (1.5 T, 3 T).
RELAXIVITY = {
    "gadobutrol": (4.6, 4.5),
    "gadoterate": (3.9, 3.4),
    "gadoteridol": (4.4, 3.5),
}


@dataclass(frozen=True)
class Tissue:
    """What one tissue is made of.

    Attributes
    ----------
    pd : float
        Proton density over that of water.
    t1, t2, t2s : float
        Relaxation times before contrast, s.
    cbv : float
        Blood volume fraction.
    mtt : float
        Mean transit time, s.
    delay, dispersion : float
        Of the arriving blood after the large arteries, s; dispersion is exponential.
    ktrans : float
        1/min.
    ve : float
        Fraction.
    r2s_ees : float
        R2* relaxivity of leaked contrast, 1/s/mM.
    blood : str
        "artery" or "vein" for bulk blood, else empty.
    fat : bool
        True where fat suppression acts.
    """

    pd: float
    t1: float
    t2: float
    t2s: float
    cbv: float = 0.0
    mtt: float = 4.5
    delay: float = 0.8
    dispersion: float = 0.4
    ktrans: float = 0.0
    ve: float = 0.2
    r2s_ees: float = 8.0
    blood: Literal["", "artery", "vein"] = ""
    fat: bool = False


@dataclass(frozen=True)
class Injection:
    """One bolus.

    Attributes
    ----------
    arrival : float
        At the large arteries of the head, s on the session's clock.
    dose : float
        mmol/kg.
    width : float
        Scale of the first pass, s; slower injections are wider.
    """

    arrival: float
    dose: float
    width: float


@dataclass(frozen=True)
class Course:
    """Contrast in one tissue over a session.

    Attributes
    ----------
    time : ndarray
        Session clock, s, in steps of 0.1 s.
    concentration : ndarray
        Of the tissue as a whole, mM.
    leaked : ndarray
        The part outside the vessels, mM of the tissue; all of it in bulk blood.
    r2s : ndarray
        Added R2*, 1/s.
    """

    time: Curve
    concentration: Curve
    leaked: Curve
    r2s: Curve


WM_CBV = 0.022


def tissues(field: float, hematocrit: float) -> dict[str, Tissue]:
    """Return the normal tissues at 1.5 or 3 T.

    T1 of brain after Stanisz 2005; of blood after Lu 2004 (3 T) with the given haematocrit.
    """
    high = field > 2.0
    blood_a = 1.0 / (0.52 * hematocrit + 0.38) if high else 1.441
    blood_v = 1.0 / (0.83 * hematocrit + 0.28) if high else 1.441
    return {
        "csf": Tissue(1.0, 4.2, 1.8, 0.35),
        "gm": Tissue(0.82, 1.82 if high else 1.124, 0.099, 0.052, cbv=0.044),
        "wm": Tissue(0.70, 1.084 if high else 0.884, 0.069, 0.048, cbv=WM_CBV, mtt=5.0),
        "edema": Tissue(0.85, 1.6 if high else 1.3, 0.13, 0.08, cbv=0.012, mtt=5.5),
        "fat": Tissue(0.85, 0.38, 0.07, 0.03, cbv=0.02, ktrans=0.05, ve=0.15, fat=True),
        "bone": Tissue(0.05, 0.6, 0.01, 0.002),
        "marrow": Tissue(0.45, 0.5, 0.05, 0.01, fat=True),
        "muscle": Tissue(0.75, 1.42 if high else 1.0, 0.04, 0.025, cbv=0.02, ktrans=0.05, ve=0.15),
        "eye": Tissue(0.98, 3.5, 0.9, 0.3),
        "artery": Tissue(0.88, blood_a, 0.15, 0.05, blood="artery"),
        "vein": Tissue(0.88, blood_v, 0.08, 0.03, blood="vein"),
    }


def clock(end: float, start: float = 0.0) -> Curve:
    """Return the time grid from ``start`` to at least ``end``, s."""
    return np.asarray(start + STEP * np.arange(int(np.ceil((end - start) / STEP)) + 1), dtype=float)


def arterial_blood(time: Curve, injections: tuple[Injection, ...]) -> Curve:
    """Return the concentration in whole arterial blood, mM.

    First pass (gamma density of shape 4), a delayed and dispersed second pass, and the part that
    has mixed with the body and leaves it slowly. The first pass carries the dose over the cardiac
    output: 0.1 mmol/kg at 70 kg and 5.5 L/min have an area of 76 mM s.
    """
    total, step = np.zeros_like(time), _step(time)
    for injection in injections:
        t = time - injection.arrival
        first = 76.0 * injection.dose / 0.1 * _gamma_density(t, 4.0, injection.width)
        second = 0.45 * convolve(first, _gamma_density(time - time[0] - 8.0, 3.0, 4.0), step)
        mixing = convolve(first, _gamma_density(time - time[0] - 5.0, 2.0, 8.0), step)
        slow = 0.006 * retained(mixing, 1.0 / 110.0, step)
        slow += 0.0085 * retained(mixing, 1.0 / 2400.0, step)
        total += first + second + slow
    return total


def retained(curve: Curve, rate: float, step: float = STEP) -> Curve:
    """Return the convolution of a curve with exp(-rate t), exact for a curve of straight pieces.

    Examples
    --------
    >>> round(float(retained(np.ones(1001), 0.5)[-1]), 3)
    2.0
    """
    from scipy import signal

    x = rate * step
    decay = np.exp(-x)
    if x < 1e-3:
        new, old = step * (0.5 - x / 6.0), step * (0.5 - x / 3.0)
    else:
        new = (1.0 + np.expm1(-x) / x) / rate
        old = -np.expm1(-x) / rate - new
    return np.asarray(signal.lfilter([new, old], [1.0, -decay], curve), dtype=float)


def convolve(curve: Curve, kernel: Curve, step: float = STEP) -> Curve:
    """Return the causal convolution of two curves on one grid that starts at zero lag."""
    from scipy import signal

    out = signal.fftconvolve(curve, kernel)[: curve.size] * step
    return np.asarray(out, dtype=float)


def course(
    tissue: Tissue, time: Curve, blood: Curve, hematocrit: float, field: float = 3.0
) -> Course:
    """Return concentration and added R2* of one tissue.

    Extended Tofts for what T1 sees; for R2* the vascular compartment of residue exp(-t/MTT) and
    what has leaked.
    """
    step = _step(time)
    if tissue.blood == "artery":
        return Course(time, blood, blood, BLOOD_R2S * blood)
    if tissue.blood == "vein":
        venous = convolve(blood, _gamma_density(time - time[0] - 1.0, 3.0, 2.0), step)
        return Course(time, venous, venous, BLOOD_R2S * venous)
    if tissue.cbv == 0.0 and tissue.ktrans == 0.0:
        return Course(time, *(np.zeros_like(time) for _ in range(3)))
    arriving = np.interp(time - tissue.delay, time, blood)
    if tissue.dispersion:
        arriving = retained(arriving, 1.0 / tissue.dispersion, step) / tissue.dispersion
    plasma = arriving / (1.0 - hematocrit)
    rate = tissue.ktrans / 60.0
    leaked = rate * retained(plasma, rate / tissue.ve, step) if rate else np.zeros_like(time)
    vessels = retained(arriving, 1.0 / tissue.mtt, step) / tissue.mtt
    concentration = tissue.cbv * (1.0 - hematocrit) * plasma + leaked
    vascular = TISSUE_R2S * field / KJOLBY_FIELD * tissue.cbv * vessels
    return Course(time, concentration, leaked, vascular + tissue.r2s_ees * leaked)


def spgr(
    tissue: Tissue, r1: Curve, tr: float, te: float, flip: float, r2s: Curve | float = 0.0
) -> Curve:
    """Return the steady-state spoiled gradient-echo signal.

    Parameters
    ----------
    r1 : ndarray
        Relaxation rate, 1/s.
    tr, te : float
        s.
    flip : float
        Degrees.
    r2s : ndarray or float
        R2* added by contrast, 1/s.
    """
    e1 = np.exp(-tr * r1)
    angle = np.deg2rad(flip)
    steady = np.sin(angle) * (1.0 - e1) / (1.0 - np.cos(angle) * e1)
    return np.asarray(tissue.pd * steady * np.exp(-te * (1.0 / tissue.t2s + r2s)))


def gradient_epi(
    tissue: Tissue, times: Curve, contrast: Course, relaxivity: float, te: float, flip: float
) -> Curve:
    """Return the gradient-echo EPI signal of successive excitations, first frame included.

    The longitudinal magnetization is followed from excitation to excitation, `DUMMIES` of them
    before the first frame, so that the first frames are brighter and contrast that leaks acts on
    T1 with the memory of the tissue. Contrast within the vessels of tissue does not reach the water
    outside them. Bulk blood has moved on and enters every slice fresh. Fat is suppressed to a
    tenth.

    Parameters
    ----------
    times : ndarray, shape (..., frames)
        Excitations, evenly spaced, s on the clock of ``contrast``.
    relaxivity : float
        r1, 1/s/mM.
    te, flip : float
        s and degrees.
    """
    angle = np.deg2rad(flip)
    r2s = np.interp(times, contrast.time, contrast.r2s)
    echo = np.sin(angle) * np.exp(-te * (1.0 / tissue.t2s + r2s))
    if tissue.blood:
        return np.asarray(tissue.pd * echo)
    tr = times[..., 1:2] - times[..., :1]
    excited = np.concatenate([times[..., :1] + tr * np.arange(-DUMMIES, 0), times], axis=-1)
    exposure = retained(contrast.leaked, 0.0, _step(contrast.time))
    relaxed = relaxivity * np.diff(np.interp(excited, contrast.time, exposure))
    e1 = np.exp(-np.diff(excited) / tissue.t1 - relaxed)
    longitudinal = np.ones_like(excited)
    for n in range(1, excited.shape[-1]):
        left = longitudinal[..., n - 1] * np.cos(angle)
        longitudinal[..., n] = 1.0 + (left - 1.0) * e1[..., n - 1]
    return np.asarray(tissue.pd * longitudinal[..., DUMMIES:] * echo * (0.1 if tissue.fat else 1.0))


def flair(tissue: Tissue, r1: float, tr: float, te: float, ti: float) -> float:
    """Return the inversion-recovery spin-echo signal; fat is suppressed, flowing blood is void."""
    if tissue.blood:
        return 0.0
    recovered = abs(1.0 - 2.0 * np.exp(-ti * r1) + np.exp(-tr * r1))
    return float(tissue.pd * recovered * np.exp(-te / tissue.t2) * (0.1 if tissue.fat else 1.0))


def _step(time: Curve) -> float:
    return round(float(time[1] - time[0]), 9)


def _gamma_density(t: Curve, shape: float, scale: float) -> Curve:
    """Return the gamma density at lag ``t`` in s, zero before."""
    from scipy import special

    positive = np.maximum(t, 0.0) / scale
    return np.asarray(
        positive ** (shape - 1.0) * np.exp(-positive) / (special.gamma(shape) * scale)
    )
