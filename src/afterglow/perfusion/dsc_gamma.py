"""Blood volume of the first pass by a gamma variate, free of recirculation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STARTS = np.arange(-3.0, 3.01, 0.5)
_FROM_PEAK = 0.15
_FEWEST = 4


def gamma_variate_area(
    rates: NDArray[np.float64],
    time: NDArray[np.float64],
    arrival: float,
    first_pass: tuple[int, int],
) -> NDArray[np.float64]:
    """Return the area under a gamma variate fitted to the first pass of every curve (unitless).

    ``A (t - t0)^a exp(-(t - t0)/b)`` (Thompson 1964) is linear in ``ln A``, ``a`` and ``1/b`` once
    logarithms are taken; samples count with the square of their height, so that those near the
    noise hardly matter, and ``t0`` is the best of a grid about ``arrival``.

    Parameters
    ----------
    rates : array (n_voxels, n_time)
        Delta R2* (1/s).
    time : array (n_time,)
        Frame times (s).
    arrival : float
        Arrival of contrast in the brain (s).
    first_pass : (int, int)
        Frames of the first pass.

    Returns
    -------
    array (n_voxels,)
        NaN where fewer than four samples rise above 15 % of the peak or no such curve fits.

    Examples
    --------
    >>> t = np.arange(0.0, 60.0, 1.5)
    >>> x = np.clip(t - 15.0, 0.0, None)
    >>> curve = 0.5 * x**3 * np.exp(-x / 1.8)
    >>> round(float(gamma_variate_area(curve[None], t, 15.0, (10, 30))[0] / (3 * 1.8**4)), 3)
    1.0
    """
    from scipy.special import gammaln

    span = slice(*first_pass)
    values, seconds = rates[:, span], time[span]
    top = values.max(axis=1, keepdims=True)
    high = (values > _FROM_PEAK * top) & (top > 0)
    weights = np.where(high, values, 0.0) ** 2
    logged = np.log(np.where(high, values, 1.0))
    best = np.full(len(rates), np.inf)
    area = np.full(len(rates), np.nan)
    for start in arrival + _STARTS:
        after = seconds - start
        used = weights * (after > 0)
        safe = np.where(after > 0, after, 1.0)
        design = np.stack([np.ones_like(safe), np.log(safe), -safe], axis=1)
        normal = np.einsum("vt,ti,tj->vij", used, design, design, optimize=True)
        right = (used * logged) @ design
        ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(3)
        usable = (used > 0).sum(axis=1) >= _FEWEST
        normal[~usable] = np.eye(3)
        solved = np.linalg.solve(normal + ridge, right[..., None])[..., 0]
        log_a, power, rate = solved.T
        misfit = (used * (logged - solved @ design.T) ** 2).sum(axis=1) / np.maximum(
            used.sum(axis=1), 1e-300
        )
        better = usable & (power > 0) & (rate > 0) & (misfit < best)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = np.exp(log_a + gammaln(power + 1.0) - (power + 1.0) * np.log(rate))
        area = np.where(better, found, area)
        best = np.where(better, misfit, best)
    return area
