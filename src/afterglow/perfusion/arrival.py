"""Arrival of the bolus, by change-point detection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SUBSTEPS = 10
_RISE_PART = 0.8
_UNSTEADY_FRAMES = 5
_UNSTEADY_SIGMA = 6.0
_UNSTEADY_PART = 0.05
_DOUBT = 2.0


@dataclass(frozen=True)
class BolusArrival:
    """When contrast arrives.

    Attributes
    ----------
    seconds : float
        Arrival on the time axis of the curve (s); NaN where none is found.
    index : int
        First frame with contrast, so the number of frames before it; 0 where none is found.
    confidence : float
        Posterior probability (0 to 1) that there is a change and that it lies within one frame.
    first : int
        First frame of steady signal: frames before it belong neither to baseline nor to bolus.
    """

    seconds: float
    index: int
    confidence: float
    first: int = 0


_NONE = BolusArrival(float("nan"), 0, 0.0, 0)


def bolus_arrival(curve: ArrayLike, time: ArrayLike) -> BolusArrival:
    """Find when a curve leaves its baseline.

    A constant followed by a straight ramp (after Cheong 2003) is fitted by least squares to the
    part of the curve up to four fifths of its extremum, for every break point on a grid ten times
    finer than the frames; the direction (rise or fall) is the one that explains more. Baselines of
    any length are found, leading frames that have not reached the steady state are set aside, and
    the confidence follows from the profile of the residuals over all break points.

    Parameters
    ----------
    curve : array (n_time,)
        Signal, delta R2* or concentration; NaN frames are ignored.
    time : array (n_time,)
        Frame times (s), rising.

    Returns
    -------
    BolusArrival

    Raises
    ------
    ValueError
        Where curve and time differ in length or time does not rise.

    Examples
    --------
    >>> t = np.arange(0.0, 60.0, 2.0)
    >>> found = bolus_arrival(100 - 8 * np.clip(t - 21, 0, 6) + np.sin(3 * t), t)
    >>> bool(abs(found.seconds - 21) < 1), found.index
    (True, 11)
    """
    values = np.asarray(curve, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    if values.ndim != 1 or values.shape != seconds.shape:
        raise ValueError(f"curve {values.shape} and time {seconds.shape} must be equal vectors")
    if np.any(np.diff(seconds) <= 0):
        raise ValueError("time must rise")
    kept = np.flatnonzero(np.isfinite(values))
    if kept.size < 5 or np.ptp(values[kept]) <= 1e-12 * np.max(np.abs(values[kept])):
        return _NONE
    found = [_one_sign(sign * values[kept], seconds[kept]) for sign in (1.0, -1.0)]
    best = max(found, key=lambda item: item[1])[0]
    if not np.isfinite(best.seconds):
        return _NONE
    index = min(best.index, kept.size - 1)
    return replace(best, index=int(kept[index]), first=int(kept[best.first]))


def _one_sign(values: NDArray[np.float64], time: NDArray[np.float64]) -> tuple[BolusArrival, float]:
    """Return the arrival of a rising change, and the evidence for it (log Bayes factor)."""
    first = _first_steady(values)
    y, t = values[first:], time[first:]
    peak = int(np.argmax(_smooth(y)))
    if peak < 2:
        return _NONE, -np.inf
    peak = _early_rise(y, peak)
    stop = min(peak + 1, y.size)
    y, t = y[:stop], t[:stop]
    breaks = _break_points(t)
    rss, slope, base = _ramp_fits(y, t, breaks)
    null = float(np.sum((y - y.mean()) ** 2))
    best = int(np.argmin(np.where(slope > 0, rss, np.inf)))
    floor = 1e-9 * null + 1e-300
    evidence = (
        0.5 * y.size * np.log((null + floor) / (rss[best] + floor)) - 1.5 * np.log(y.size) - _DOUBT
    )
    if slope[best] <= 0 or evidence <= 0:
        return _NONE, -np.inf
    log_profile = -0.5 * max(y.size - 3, 1) * np.log((rss + floor) / (rss[best] + floor))
    weight = np.where(slope > 0, np.exp(log_profile), 0.0)
    step = float(np.median(np.diff(t)))
    near = np.abs(breaks - breaks[best]) <= step
    sure = float(weight[near].sum() / weight.sum()) * float(1.0 / (1.0 + np.exp(-evidence)))
    index = int(np.searchsorted(t, breaks[best], side="right"))
    index = _step_back(y, index, base[best], float(np.sqrt(rss[best] / max(y.size - 3, 1))))
    arrival = BolusArrival(float(breaks[best]), first + index, sure, first)
    return arrival, float(evidence)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a running median of three, so that one spike is no extremum."""
    padded = np.pad(values, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3)
    return np.asarray(np.median(windows, axis=1))


def _first_steady(values: NDArray[np.float64]) -> int:
    """Return the first frame of the steady state (leading frames far off their followers go)."""
    height = np.ptp(_smooth(values))
    for first in range(min(_UNSTEADY_FRAMES, values.size // 4)):
        following = values[first + 1 : first + 7]
        centre = np.median(following)
        spread = 1.4826 * np.median(np.abs(following - centre))
        if abs(values[first] - centre) <= _UNSTEADY_SIGMA * spread + _UNSTEADY_PART * height:
            return first
    return 0


def _early_rise(y: NDArray[np.float64], peak: int) -> int:
    """Return the frame where the last rise before the peak has reached most of its height."""
    smooth = _smooth(y)
    low = float(min(np.median(smooth[:3]), np.percentile(smooth[: peak + 1], 5)))
    target = low + _RISE_PART * (smooth[peak] - low)
    above = np.flatnonzero(smooth[: peak + 1] >= target)
    return max(int(above[0]), 2) if above.size else peak


def _break_points(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return break points between the second and the last frame, ten to an interval."""
    part = np.arange(_SUBSTEPS) / _SUBSTEPS
    starts, steps = t[1:-1], np.diff(t)[1:]
    return np.asarray((starts[:, None] + steps[:, None] * part).ravel())


def _ramp_fits(
    y: NDArray[np.float64], t: NDArray[np.float64], breaks: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return residual sum of squares, first slope and baseline of the fit at every break point.

    The ramp bends (a square term) where the Bayesian information criterion asks for it: a slow
    uptake is concave, and a straight ramp through it would start too early.
    """
    ramp = np.clip(t[None, :] - breaks[:, None], 0.0, None)
    square = ramp**2
    y0 = y - y.mean()
    a, b = ramp - ramp.mean(axis=1, keepdims=True), square - square.mean(axis=1, keepdims=True)
    aa, bb, ab = np.sum(a * a, axis=1), np.sum(b * b, axis=1), np.sum(a * b, axis=1)
    ay, by, total = a @ y0, b @ y0, float(np.sum(y0**2))
    slope, rss = ay / aa, np.maximum(total - ay**2 / aa, 0.0)
    base = y.mean() - slope * ramp.mean(axis=1)
    determinant = aa * bb - ab**2
    bent = determinant > 1e-9 * aa * bb
    safe = np.where(bent, determinant, 1.0)
    slope2, bend = (ay * bb - by * ab) / safe, (by * aa - ay * ab) / safe
    concave = bent & (slope2 > 0) & (bend < 0)
    rss2 = np.where(concave, np.maximum(total - slope2 * ay - bend * by, 0.0), np.inf)
    floor = 1e-9 * total + 1e-300
    if y.size < 6 or not np.any(concave):
        return rss, slope, base
    gain = y.size * float(np.log((rss.min() + floor) / (rss2.min() + floor)))
    if gain <= np.log(y.size) + 4.0:
        return rss, slope, base
    base2 = y.mean() - slope2 * ramp.mean(axis=1) - bend * square.mean(axis=1)
    return rss2, slope2, base2


def _step_back(y: NDArray[np.float64], index: int, base: float, sigma: float) -> int:
    """Return an earlier index where the frames just before already stand out of the noise."""
    quiet = y[: max(index - 2, 2)]
    noise = float(np.std(quiet)) if quiet.size > 3 else sigma
    while index > 2 and y[index - 1] - base > 2.5 * max(noise, 1e-3 * np.ptp(y)):
        index -= 1
    return max(index, 1)
