"""Model-free measures of an enhancement curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def iauc(
    concentration: ArrayLike, time: ArrayLike, arrival: float, duration: float = 60.0
) -> NDArray[np.float64]:
    """Return the initial area under the concentration curve.

    Trapezoid rule from arrival to arrival plus duration, with both ends interpolated.

    Parameters
    ----------
    concentration : array (..., n_time)
        Concentration (mM).
    time : array (n_time,)
        Frame times (s).
    arrival : float
        Arrival of the bolus (s).
    duration : float
        Length of the window (s).

    Returns
    -------
    array (...)
        Area (mM s); NaN where the series does not cover the window.

    Examples
    --------
    >>> float(iauc(np.ones(41), np.arange(0.0, 205.0, 5.0), 31.0))
    60.0
    """
    curve = np.asarray(concentration, dtype=np.float64)
    t = np.asarray(time, dtype=np.float64)
    stop = arrival + duration
    if not (np.isfinite(arrival) and t[0] <= arrival and stop <= t[-1]):
        return np.full(curve.shape[:-1], np.nan)
    weights = _area_weights(t, stop) - _area_weights(t, arrival)
    return np.asarray(curve @ weights)


def _area_weights(t: NDArray[np.float64], stop: float) -> NDArray[np.float64]:
    """Return weights whose product with a curve is its area from the first frame to ``stop``."""
    last = int(np.searchsorted(t, stop, side="right")) - 1
    weights = np.zeros_like(t)
    half = np.diff(t[: last + 1]) / 2.0
    weights[:last] += half
    weights[1 : last + 1] += half
    if last < t.size - 1 and stop > t[last]:
        part = (stop - t[last]) / (t[last + 1] - t[last])
        span = stop - t[last]
        weights[last] += span * (1.0 - part / 2.0)
        weights[last + 1] += span * part / 2.0
    return weights


def descriptors(
    concentration: ArrayLike, time: ArrayLike, arrival: float
) -> dict[str, NDArray[np.float64]]:
    """Return time to peak, peak, wash-in and wash-out slope.

    Parameters
    ----------
    concentration : array (..., n_time)
        Concentration (mM), or any enhancement.
    time : array (n_time,)
        Frame times (s).
    arrival : float
        Arrival of the bolus (s).

    Returns
    -------
    dict of arrays (...)
        ``TTP`` (s after arrival), ``peak`` (mM), ``wash_in`` (mM/s from arrival to peak),
        ``wash_out`` (mM/s, slope of the straight line after the peak; negative where it falls);
        NaN where they do not exist.

    Examples
    --------
    >>> t = np.arange(0.0, 100.0, 10.0)
    >>> found = descriptors(np.interp(t, [20, 40, 90], [0.0, 1.0, 0.5]), t, 20.0)
    >>> float(found["TTP"]), float(found["wash_in"]), float(found["wash_out"].round(3))
    (20.0, 0.05, -0.01)
    """
    curve = np.asarray(concentration, dtype=np.float64)
    t = np.asarray(time, dtype=np.float64)
    finite = np.isfinite(curve).all(axis=-1) & np.isfinite(arrival)
    values = np.where(finite[..., None], curve, 0.0)
    after = np.where(t >= arrival, values, -np.inf)
    top = after.argmax(axis=-1)
    peak = values.max(axis=-1, where=t >= arrival, initial=-np.inf)
    lag = t[top] - arrival
    tail = t >= t[top][..., None]
    count = tail.sum(axis=-1)
    mean_t = (t * tail).sum(axis=-1) / count
    centred = (t - mean_t[..., None]) * tail
    power = (centred**2).sum(axis=-1)
    with np.errstate(all="ignore"):
        wash_out = (centred * values).sum(axis=-1) / power
        wash_in = peak / lag
    return {
        "TTP": np.where(finite, lag, np.nan),
        "peak": np.where(finite, peak, np.nan),
        "wash_in": np.where(finite & (lag > 0), wash_in, np.nan),
        "wash_out": np.where(finite & (count > 2), wash_out, np.nan),
    }
