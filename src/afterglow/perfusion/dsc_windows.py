"""Where a DSC series begins, holds its baseline, passes its bolus, and has its tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.errors import NotEvaluable
from afterglow.perfusion.signal import bolus_arrival

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MIN_BASELINE = 3
_SHORT_BASELINE = 8
_MIN_HEIGHT = 0.02
_MIN_CNR = 6.0
_MAX_RISE = 35.0
_SECOND_PART = 0.45
_SECOND_GAP = 12.0
_FLAT = 0.2


@dataclass(frozen=True)
class Windows:
    """The windows of one series, frames as (first, stop) and times in s on its own axis.

    Attributes
    ----------
    baseline : (int, int)
        Frames before contrast; frames before the first have not reached the steady state.
    arrival : float
        Arrival of contrast (s).
    confidence : float
        Posterior probability (0 to 1) of that arrival.
    peak : int
        Frame of the largest mean change.
    first_pass : (int, int)
        Frames of the first pass.
    tail : (int, int) or None
        Frames of the tail for PSR; None where the series ends too early.
    tail_seconds : (float, float)
        The tail asked for (s after arrival).
    warnings : tuple of str
    """

    baseline: tuple[int, int]
    arrival: float
    confidence: float
    peak: int
    first_pass: tuple[int, int]
    tail: tuple[int, int] | None
    tail_seconds: tuple[float, float]
    warnings: tuple[str, ...] = ()

    def summary(self, time: ArrayLike) -> dict[str, Any]:
        """Return the windows in frames and seconds, for records and tables."""
        seconds = np.asarray(time, dtype=np.float64)

        def span(frames: tuple[int, int] | None) -> dict[str, Any] | None:
            if frames is None:
                return None
            first, stop = frames
            return {"frames": [first, stop], "seconds": [seconds[first], seconds[stop - 1]]}

        return {
            "steady_state_frames_dropped": self.baseline[0],
            "baseline": span(self.baseline),
            "arrival": self.arrival,
            "arrival_confidence": self.confidence,
            "peak": float(seconds[self.peak]),
            "first_pass": span(self.first_pass),
            "tail": span(self.tail),
            "tail_after_arrival": list(self.tail_seconds),
            "warnings": list(self.warnings),
        }


def find_windows(
    curve: ArrayLike,
    time: ArrayLike,
    *,
    tail: tuple[float, float] = (50.0, 60.0),
    kept: ArrayLike | None = None,
) -> Windows:
    """Find baseline, arrival, first pass and tail in a mean signal curve.

    Arrival comes from :func:`afterglow.perfusion.signal.bolus_arrival`. The first pass ends at the
    first minimum of delta R2* after its peak (below half the peak), where recirculation sets in.

    Parameters
    ----------
    curve : array (n_time,)
        Mean signal of the brain, falling when contrast passes.
    time : array (n_time,)
        Frame times (s).
    tail : (float, float)
        Window after arrival for PSR (s).
    kept : bool array (n_time,), optional
        Frames to believe; the others are interpolated.

    Raises
    ------
    NotEvaluable
        ``no_bolus``, ``no_baseline`` (fewer than three steady frames before it),
        ``several_boluses`` or ``bolus_cut_off`` (the series ends within the first pass).

    Examples
    --------
    >>> t = np.arange(0.0, 120.0, 1.5)
    >>> dip = 40 * np.exp(-0.5 * ((t - 42) / 4) ** 2) + 4 * (t > 52)
    >>> found = find_windows(100 - dip, t)
    >>> found.baseline[0], t[found.peak], found.tail is not None
    (0, np.float64(42.0), True)
    """
    seconds = np.asarray(time, dtype=np.float64)
    values = _filled(np.asarray(curve, dtype=np.float64), seconds, kept)
    if seconds.size < 10 or not np.all(values > 0):
        raise NotEvaluable("no_bolus", "the mean signal is not positive or has under 10 frames")
    found = bolus_arrival(values, seconds)
    change, noise = _change(values, found.first, max(found.index, found.first + _MIN_BASELINE))
    smooth = _median3(change)
    peak = found.first + int(np.argmax(smooth[found.first :]))
    if not np.isfinite(found.seconds) or smooth[peak] < max(_MIN_HEIGHT, _MIN_CNR * noise):
        fall = 100 * max(float(smooth[peak]), 0.0)
        if fall > 10.0:
            raise NotEvaluable("no_baseline", "the signal falls without steady frames before it")
        raise NotEvaluable("no_bolus", f"the mean signal falls by {fall:.1f} % only")
    _refuse_several(smooth, found.first, seconds)
    _refuse_other_shapes(found.seconds, smooth, peak, seconds)
    index = min(found.index, peak)
    if index - found.first < _MIN_BASELINE:
        raise NotEvaluable(
            "no_baseline", f"{index - found.first} steady frames lie before the bolus"
        )
    stop = _first_pass_stop(smooth, peak)
    frames = _tail_frames(found.seconds, seconds, tail)
    warnings = []
    if index - found.first < _SHORT_BASELINE:
        warnings.append(f"short_baseline: {index - found.first} frames before the bolus")
    if frames is None:
        warnings.append("tail_outside_series")
    peak = index + int(np.argmax(change[index:stop]))
    return Windows(
        baseline=(found.first, index),
        arrival=found.seconds,
        confidence=found.confidence,
        peak=peak,
        first_pass=(index, stop),
        tail=frames,
        tail_seconds=tail,
        warnings=tuple(warnings),
    )


def _filled(
    values: NDArray[np.float64], seconds: NDArray[np.float64], kept: ArrayLike | None
) -> NDArray[np.float64]:
    """Return the curve with frames that are not kept, or not finite, interpolated."""
    good = np.isfinite(values)
    if kept is not None:
        good &= np.asarray(kept, dtype=bool)
    if good.sum() < 2:
        raise NotEvaluable("no_bolus", "fewer than two frames are usable")
    return np.interp(seconds, seconds[good], values[good])


def _change(
    values: NDArray[np.float64], first: int, index: int
) -> tuple[NDArray[np.float64], float]:
    """Return ``-ln(S/S0)`` and its noise, from second differences (blind to slow change)."""
    change = -np.log(values / values[first:index].mean())
    second = np.diff(change, 2)
    return change, float(np.median(np.abs(second)) / 0.6745 / np.sqrt(6.0))


def _median3(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a running median of three frames: one spiky frame is no bolus."""
    padded = np.pad(values, 1, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1))


def _refuse_other_shapes(
    arrival: float, smooth: NDArray[np.float64], peak: int, seconds: NDArray[np.float64]
) -> None:
    """Refuse a slow change without a first pass, and a series that ends within it."""
    if seconds[peak] - arrival > _MAX_RISE:
        raise NotEvaluable("no_bolus", "the mean signal falls slowly, without a first pass")
    if smooth[peak:].min() > 0.6 * smooth[peak]:
        raise NotEvaluable("bolus_cut_off", "the series ends before the first pass does")


def _refuse_several(smooth: NDArray[np.float64], first: int, seconds: NDArray[np.float64]) -> None:
    """Refuse a series with a second passage nearly as high as the first."""
    part = smooth[first:]
    peaks = _passages(part, _SECOND_PART * float(part.max()))
    if len(peaks) > 1 and np.ptp(seconds[first:][peaks]) > _SECOND_GAP:
        places = ", ".join(f"{seconds[first + p]:.0f}" for p in peaks)
        raise NotEvaluable("several_boluses", f"contrast passes at {places} s")


def _passages(values: NDArray[np.float64], least: float) -> list[int]:
    """Return the peaks of at least ``least`` between which the curve falls by ``least``."""
    peaks: list[int] = []
    top, low, rising = 0, 0.0, True
    for n, value in enumerate(values.tolist()):
        if rising and value > values[top]:
            top = n
        elif rising and value < values[top] - least:
            peaks.append(top)
            low, rising = value, False
        elif not rising:
            low = min(low, value)
            if value > low + least:
                top, rising = n, True
    return peaks


def _first_pass_stop(smooth: NDArray[np.float64], peak: int) -> int:
    """Return the frame after the first minimum behind the peak, or where the fall flattens out.

    Without a minimum (a slow injection, whose recirculation begins within the first pass) the end
    is where the curve falls at under a fifth of its steepest rate.
    """
    low = 0.5 * smooth[peak]
    fall = -np.diff(smooth[peak:])
    steepest = float(fall.max(initial=0.0))
    for i in range(peak + 1, smooth.size - 2):
        slope = 0.5 * (smooth[i] - smooth[i + 2])
        if smooth[i] < low and slope <= _FLAT * steepest:
            return i + 1
    return int(smooth.size)


def _tail_frames(
    arrival: float, seconds: NDArray[np.float64], tail: tuple[float, float]
) -> tuple[int, int] | None:
    """Return the frames of the tail, None where the series does not reach its end."""
    step = float(np.median(np.diff(seconds)))
    inside = np.flatnonzero((seconds >= arrival + tail[0]) & (seconds <= arrival + tail[1]))
    if inside.size == 0 or seconds[-1] + 0.5 * step < arrival + tail[1]:
        return None
    return int(inside[0]), int(inside[-1]) + 1
