"""What tells a vessel from tissue in one curve: height, onset, width, wash-out, smoothness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from afterglow.perfusion.arrival import BolusArrival, bolus_arrival

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["dsc", "dce"]

_ONSET_PART = 0.2
_FIRST_PASS = {"dsc": 30.0, "dce": 45.0}
_LATE_START = 20.0
_LATE_STOP = 60.0
_TOP_PART = 0.02
_TOP_FEWEST = 20
_TOWERING = 4.0


@dataclass(frozen=True)
class Features:
    """Features of curves, arrays of shape (n_voxels,).

    ``peak`` in the unit of the curves, ``onset``, ``time_to_peak`` and ``fwhm`` in s, ``late`` the
    mean 20 to 60 s after the peak over the peak, ``rough`` the root mean square of second
    differences over the peak, ``cnr`` the peak over the noise of the baseline.
    """

    peak: NDArray[np.float64]
    onset: NDArray[np.float64]
    time_to_peak: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    late: NDArray[np.float64]
    rough: NDArray[np.float64]
    cnr: NDArray[np.float64]


def enhancement(curves: NDArray[np.float64], kind: Kind) -> NDArray[np.float64] | None:
    """Return curves turned so that contrast raises them from about zero, or None for no change.

    Raw signal is told from concentration or delta R2* by its baseline, which is large beside the
    excursion of the typical voxel. Signal becomes ``-ln(S/S0)`` (dsc) or ``S - S0`` (dce).
    """
    found = _bolus_of(curves)
    if found.index < 1:
        return None
    base = curves[:, found.first : found.index].mean(axis=1)
    if kind == "dce" or not holds_signal(curves):
        return np.asarray(curves - base[:, None])
    good = (base > 0) & (curves[:, found.first :].min(axis=1) > 0)
    safe = np.where(good[:, None], curves, 1.0)
    logged = -np.log(np.maximum(safe, 1e-12) / np.where(good, base, 1.0)[:, None])
    return np.where(good[:, None], logged, 0.0)


def holds_signal(curves: NDArray[np.float64]) -> bool:
    """Tell raw signal from concentration or delta R2* by a baseline that is large beside it."""
    found = _bolus_of(curves)
    base = curves[:, found.first : max(found.index, found.first + 1)].mean(axis=1)
    swing = np.abs(curves[:, found.first :] - base[:, None]).max(axis=1)
    return bool(np.median(base) > 0.5 * np.median(swing))


def _bolus_of(curves: NDArray[np.float64]) -> BolusArrival:
    """Return the arrival (frames) in the mean of the curves that change most."""
    top = _mean_of_largest(curves)
    return bolus_arrival(top, np.arange(top.size, dtype=np.float64))


def _mean_of_largest(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the curves with the largest excursion from their own median."""
    swing = np.abs(curves - np.median(curves, axis=1, keepdims=True)).max(axis=1)
    count = min(max(_TOP_FEWEST, int(_TOP_PART * swing.size)), swing.size)
    top = np.argpartition(swing, -count)[-count:]
    return _bounded_mean(curves[top], swing[top])


def _bounded_mean(curves: NDArray[np.float64], height: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of curves, of which none counts for many: an artefact may tower over all."""
    most = _TOWERING * float(np.median(height))
    share = np.minimum(1.0, most / np.where(height > 0, height, np.inf))
    return np.asarray((curves * np.where(height > 0, share, 1.0)[:, None]).mean(axis=0))


def global_arrival(enhanced: NDArray[np.float64], time: NDArray[np.float64]) -> BolusArrival:
    """Return the arrival in the mean of the most enhancing curves."""
    peak = enhanced.max(axis=1)
    count = min(max(_TOP_FEWEST, int(_TOP_PART * peak.size)), peak.size)
    top = np.argpartition(peak, -count)[-count:]
    return bolus_arrival(_bounded_mean(enhanced[top], peak[top]), time)


def describe(
    enhanced: NDArray[np.float64], time: NDArray[np.float64], arrival: BolusArrival, kind: Kind
) -> Features:
    """Return the features of curves that rise from about zero.

    Parameters
    ----------
    enhanced : array (n_voxels, n_time)
        Curves from :func:`enhancement`.
    time : array (n_time,)
        Frame times (s).
    arrival : BolusArrival
        Global arrival.
    kind : "dsc" or "dce"
        Sets how long a first pass may last.
    """
    start = max(arrival.index - 2, arrival.first)
    stop = int(np.searchsorted(time, time[start] + _FIRST_PASS[kind], side="right"))
    stop = max(stop, min(start + 4, time.size))
    window = enhanced[:, start:stop]
    top = window.argmax(axis=1) + start
    peak = window.max(axis=1)
    rows = np.arange(peak.size)
    safe = np.where(peak > 0, peak, np.inf)
    quiet = enhanced[:, arrival.first : max(arrival.index - 1, arrival.first + 2)]
    second = np.diff(enhanced[:, arrival.first :], n=2, axis=1)
    noise = np.maximum(quiet.std(axis=1), 1e-6 * np.abs(peak))
    before, after = (_crossing(enhanced, time, top, 0.5 * peak, step) for step in (-1, 1))
    lag = time[None, :] - time[top][:, None]
    late = (lag >= _LATE_START) & (lag <= _LATE_STOP)
    tail = (enhanced * late).sum(axis=1) / np.maximum(late.sum(axis=1), 1)
    return Features(
        peak=peak,
        onset=_crossing(enhanced, time, top, _ONSET_PART * peak, -1),
        time_to_peak=time[top[rows]],
        fwhm=after - before,
        late=np.where(late.any(axis=1), tail / safe, np.nan),
        rough=np.sqrt(np.mean(second**2, axis=1)) / safe,
        cnr=peak / np.where(noise > 0, noise, np.inf),
    )


def _crossing(
    curves: NDArray[np.float64],
    time: NDArray[np.float64],
    top: NDArray[np.intp],
    level: NDArray[np.float64],
    step: int,
) -> NDArray[np.float64]:
    """Return when each curve last was below ``level`` on one side of its peak (interpolated)."""
    n = time.size
    frames = np.arange(n)
    below = curves < level[:, None]
    if step < 0:
        below &= frames[None, :] < top[:, None]
        index = np.where(below.any(axis=1), n - 1 - below[:, ::-1].argmax(axis=1), -1)
        inner = index + 1
    else:
        below &= frames[None, :] > top[:, None]
        index = np.where(below.any(axis=1), below.argmax(axis=1), n)
        inner = index - 1
    outer = np.clip(index, 0, n - 1)
    inner = np.clip(inner, 0, n - 1)
    rows = np.arange(curves.shape[0])
    low, high = curves[rows, outer], curves[rows, inner]
    rise = np.where(high > low, high - low, 1.0)
    part = np.clip((level - low) / rise, 0.0, 1.0)
    return np.asarray(time[outer] + part * (time[inner] - time[outer]))
