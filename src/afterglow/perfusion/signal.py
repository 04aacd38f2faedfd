"""From the scanner's signal to contrast: baseline, relaxation rates, concentration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.perfusion.arrival import BolusArrival, bolus_arrival

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Baseline = int | tuple[int, int]
"""Frames of the baseline: the first ``n``, or from ``first`` up to but not including ``stop``."""

__all__ = [
    "Baseline",
    "BolusArrival",
    "bolus_arrival",
    "delta_r2star",
    "relative_enhancement",
    "spgr_concentration",
    "spgr_signal",
]


def delta_r2star(signal: ArrayLike, te: ArrayLike, n_baseline: Baseline) -> NDArray[np.float64]:
    """Return the change of the transverse relaxation rate of a DSC series.

    One echo: ``-ln(S / S0) / TE``. Two echoes: ``(ln(S1/S2) - ln(S1_0/S2_0)) / (TE2 - TE1)``,
    which is free of T1 effects.

    Parameters
    ----------
    signal : array (..., n_time), or (2, ..., n_time) for two echoes
        Magnitude signal, arbitrary unit.
    te : float or array of length 2
        Echo time or times (s).
    n_baseline : int or (int, int)
        Number of frames before contrast, or first frame and stop of the baseline.

    Returns
    -------
    array (..., n_time)
        Delta R2* (1/s); NaN where signal or baseline is not positive and finite.

    Raises
    ------
    ValueError
        Echo times that are not positive and rising, or a baseline outside the series.

    Examples
    --------
    >>> delta_r2star([100.0, 100.0, 50.0], 0.03, 2).round(2) + 0.0
    array([ 0. ,  0. , 23.1])
    """
    data = np.asarray(signal, dtype=np.float64)
    echoes = np.atleast_1d(np.asarray(te, dtype=np.float64))
    if not (np.all(np.isfinite(echoes)) and np.all(echoes > 0)):
        raise ValueError(f"te must be positive seconds, found {echoes.tolist()}")
    if echoes.size == 1:
        return np.asarray(-_log_ratio(data, n_baseline) / echoes[0])
    if echoes.size != 2 or data.shape[0] != 2 or echoes[1] <= echoes[0]:
        raise ValueError("two echoes need te = [TE1 < TE2] and signal of shape (2, ..., n_time)")
    first, second = _log_ratio(data[0], n_baseline), _log_ratio(data[1], n_baseline)
    change: NDArray[np.float64] = (first - second) / (echoes[1] - echoes[0])
    return change


def relative_enhancement(signal: ArrayLike, n_baseline: Baseline) -> NDArray[np.float64]:
    """Return ``S / S0 - 1``, NaN where the baseline is not positive.

    Examples
    --------
    >>> relative_enhancement([10.0, 10.0, 15.0], 2)
    array([0. , 0. , 0.5])
    """
    data = np.asarray(signal, dtype=np.float64)
    baseline = _baseline_mean(data, n_baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = data / baseline[..., None] - 1.0
    return np.where(baseline[..., None] > 0, ratio, np.nan)


def spgr_signal(
    r1: ArrayLike, m0: ArrayLike, tr: float, flip_angle: ArrayLike
) -> NDArray[np.float64]:
    """Return the steady-state signal of a spoiled gradient echo (Ernst), without T2* decay.

    Parameters
    ----------
    r1 : array
        Longitudinal relaxation rate (1/s).
    m0 : array
        Equilibrium signal, arbitrary unit.
    tr : float
        Repetition time (s).
    flip_angle : array
        Flip angle (degrees).

    Examples
    --------
    >>> float(spgr_signal(1.0, 1000.0, 0.005, 12.0).round(3))
    38.793
    """
    angle = np.deg2rad(np.asarray(flip_angle, dtype=np.float64))
    e1 = np.exp(-tr * np.asarray(r1, dtype=np.float64))
    value: NDArray[np.float64] = (
        np.asarray(m0, dtype=np.float64) * np.sin(angle) * (1.0 - e1) / (1.0 - np.cos(angle) * e1)
    )
    return value


def spgr_concentration(
    signal: ArrayLike,
    t10: ArrayLike,
    tr: float,
    flip_angle: float,
    r1: float,
    n_baseline: Baseline,
    b1: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return the contrast concentration of a spoiled gradient-echo series, by exact inversion.

    With ``E10 = exp(-TR/T10)`` and ``c = cos(b1 FA)``, the relative signal gives
    ``k = S/S0 (1 - E10)/(1 - c E10)`` and ``E1 = (1 - k)/(1 - k c)``; then
    ``C = (-ln(E1)/TR - 1/T10)/r1``. T2* decay is neglected.

    Parameters
    ----------
    signal : array (..., n_time)
        Signal, arbitrary unit.
    t10 : float or array (...)
        T1 before contrast (s).
    tr : float
        Repetition time (s).
    flip_angle : float
        Nominal flip angle (degrees).
    r1 : float
        Longitudinal relaxivity (1/(s mM)).
    n_baseline : int or (int, int)
        Number of frames before contrast, or first frame and stop of the baseline.
    b1 : float or array (...), optional
        Ratio of actual to nominal flip angle.

    Returns
    -------
    array (..., n_time)
        Concentration (mM). NaN where no concentration gives such a signal (saturation), where
        the signal is not finite, or where T10 or the baseline is not positive. Negative values are
        kept: noise about zero is information.

    Examples
    --------
    >>> s = spgr_signal([1.0, 1.0, 1.0 + 4.5 * 2.0], 1000.0, 0.005, 15.0)
    >>> spgr_concentration(s, 1.0, 0.005, 15.0, 4.5, 2).round(6) + 0.0
    array([0., 0., 2.])
    """
    data = np.asarray(signal, dtype=np.float64)
    rate = np.asarray(t10, dtype=np.float64)[..., None]
    actual = flip_angle * (1.0 if b1 is None else np.asarray(b1, dtype=np.float64)[..., None])
    cosine = np.cos(np.deg2rad(actual))
    baseline = _baseline_mean(data, n_baseline)[..., None]
    usable = (baseline > 0) & (rate > 0) & np.isfinite(rate)
    with np.errstate(all="ignore"):
        e10 = np.exp(-tr / rate)
        k = data / baseline * (1.0 - e10) / (1.0 - cosine * e10)
        e1 = (1.0 - k) / (1.0 - k * cosine)
        concentration = (-np.log(e1) / tr - 1.0 / rate) / r1
        possible = usable & (e1 > 0) & (k < 1)
    return np.where(possible & np.isfinite(concentration), concentration, np.nan)


def _frames(n_baseline: Baseline, n_time: int) -> slice:
    """Return the baseline as a slice, refusing one outside the series."""
    first, stop = (0, n_baseline) if isinstance(n_baseline, int | np.integer) else n_baseline
    if not 0 <= first < stop <= n_time:
        raise ValueError(f"baseline frames {first} to {stop} lie outside a series of {n_time}")
    return slice(int(first), int(stop))


def _baseline_mean(data: NDArray[Any], n_baseline: Baseline) -> NDArray[np.float64]:
    """Return the mean signal over the baseline frames, of finite values only."""
    part = data[..., _frames(n_baseline, data.shape[-1])]
    finite = np.isfinite(part)
    count = finite.sum(axis=-1)
    total = np.where(finite, part, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _log_ratio(data: NDArray[np.float64], n_baseline: Baseline) -> NDArray[np.float64]:
    """Return ``ln(S/S0)``, NaN where it does not exist."""
    baseline = _baseline_mean(data, n_baseline)[..., None]
    good = (data > 0) & (baseline > 0) & np.isfinite(data)
    ratio = np.where(good, data, 1.0) / np.where(good, baseline, 1.0)
    return np.where(good, np.log(ratio), np.nan)
