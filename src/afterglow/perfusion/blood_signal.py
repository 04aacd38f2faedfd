"""Concentration in vessels from their signal: noise floor and T2* decay undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.signal import Baseline, spgr_concentration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from afterglow.perfusion.aif_choice import Injection

_STEPS = 60


def blood_concentration(
    signals: NDArray[np.floating],
    baseline: Baseline,
    injection: Injection,
    t1: float,
    b1: float = 1.0,
) -> NDArray[np.float64]:
    """Return the concentration that a bolus adds to blood, of the mean signal of some voxels.

    ``S = spgr(C) exp(-TE r2* C)``: at the height of a bolus the steady state is nearly saturated,
    so that a decay of a few percent hides a quarter of the concentration. The decay is undone by
    fixed-point steps; where they find no concentration that gives the signal, none is returned.

    Parameters
    ----------
    signals : array (n_voxels, n_time)
        Magnitude signal of a spoiled gradient echo.
    baseline : int or (int, int)
        Frames before the bolus.
    injection : Injection
        Sequence and agent.
    t1 : float
        T1 of the blood before the bolus (s).
    b1 : float
        Ratio of actual to nominal flip angle.

    Returns
    -------
    array (n_time,)
        Concentration (mM).
    """
    mean = without_noise_floor(signals)
    decay = (injection.te or 0.0) * injection.blood_r2star
    found = np.zeros_like(mean)
    for _ in range(_STEPS if decay else 1):
        previous = found
        with np.errstate(over="ignore"):
            undone = mean * np.exp(decay * np.maximum(previous, 0.0))
        found = spgr_concentration(
            undone, t1, injection.tr, injection.flip_angle, injection.relaxivity, baseline, b1
        )
        if np.allclose(found, previous, rtol=1e-9, atol=1e-9, equal_nan=True):
            break
    return found


def without_noise_floor(signals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the root mean square over voxels, freed of the noise in it.

    In a magnitude image ``E[S^2] = A^2 + 2 sigma^2`` (Gudbjartsson 1995): blood with its long T1 is
    nearly as dark as noise before contrast, and a baseline raised by noise lowers all
    concentrations. ``sigma`` comes from second differences in time, of the later half of the
    series, where the signal is high and noise symmetric.

    Parameters
    ----------
    signals : array (n_voxels, n_time)
        Magnitude signal.

    Returns
    -------
    array (n_time,)

    Examples
    --------
    >>> without_noise_floor(np.full((3, 8), 5.0))
    array([5., 5., 5., 5., 5., 5., 5., 5.])
    """
    values = signals.astype(np.float64)
    late = values[:, values.shape[1] // 2 :]
    variance = 0.0
    if late.shape[1] >= 6:
        variance = float(np.median(np.mean(np.diff(late, n=2, axis=1) ** 2, axis=1))) / 6.0
    return np.asarray(np.sqrt(np.maximum(np.mean(values**2, axis=0) - 2.0 * variance, 0.0)))
