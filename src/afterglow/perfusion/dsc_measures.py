"""Percentage signal recovery, peak height, and areas of DSC curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from afterglow.errors import NotEvaluable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Span = int | tuple[float, float]
"""Baseline: number of frames, (first, stop) frames as ints, or (start, end) in s as floats."""

_NOISE_LIMIT = 3.0


def psr(
    signal: ArrayLike,
    time: ArrayLike,
    *,
    arrival: float | None = None,
    baseline: Span | None = None,
    tail: tuple[float, float] = (50.0, 60.0),
) -> NDArray[np.float64]:
    """Return the percentage signal recovery, ``100 (S_tail - S_min) / (S0 - S_min)``.

    Taken from the uncorrected signal and never clipped: T1 leakage lifts it above 100, T2* leakage
    keeps it low. S_min is the lowest sample between arrival and tail, freed of the expected error
    of a minimum over noisy samples (nothing where the baseline has no noise).

    Parameters
    ----------
    signal : array (..., n_time)
        Magnitude signal, arbitrary unit.
    time : array (n_time,)
        Frame times (s).
    arrival : float, optional
        Arrival of contrast (s); detected in the mean curve by default.
    baseline : int or (first, stop) or (start, end), optional
        Number of leading frames, frames as ints, or seconds as floats. Default: all steady frames
        before arrival.
    tail : (float, float)
        Window of S_tail in s after arrival.

    Returns
    -------
    array (...)
        Percent; NaN where the drop is within the noise (under 3 standard deviations) or the
        signal is not finite.

    Raises
    ------
    NotEvaluable
        ``tail_outside_series`` where the series ends before the tail does; ``no_baseline``; and,
        without ``arrival``, the reasons of :func:`afterglow.perfusion.dsc_windows.find_windows`.

    Examples
    --------
    >>> t = np.arange(0.0, 120.0, 2.0)
    >>> s = np.where(t < 30, 100.0, 88.0) - np.where((t >= 30) & (t < 40), 48.0, 0.0)
    >>> float(psr(s, t, arrival=30.0))
    80.0
    """
    data, seconds, start, frames = _prepared(signal, time, arrival, baseline)
    step = float(np.median(np.diff(seconds)))
    inside = (seconds >= start + tail[0]) & (seconds <= start + tail[1])
    if not inside.any() or seconds[-1] + 0.5 * step < start + tail[1]:
        raise NotEvaluable(
            "tail_outside_series",
            f"the series ends {seconds[-1] - start:.0f} s after arrival, before {tail[1]:.0f} s",
        )
    before = data[..., frames].mean(axis=-1)
    search = (seconds >= start) & (seconds < start + tail[0])
    search[frames] = False
    drop = _drop(data, before, frames, search)
    after = data[..., inside].mean(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value: NDArray[np.float64] = 100.0 * (after - before + drop) / drop
    return np.where(np.isfinite(drop), value, np.nan)


def peak_height(
    signal: ArrayLike,
    time: ArrayLike,
    *,
    kind: Literal["signal", "dr2s"] = "signal",
    te: float | None = None,
    arrival: float | None = None,
    baseline: Span | None = None,
    first_pass: float = 50.0,
) -> NDArray[np.float64]:
    """Return the peak height of the first pass.

    Parameters
    ----------
    signal : array (..., n_time)
        Magnitude signal; for ``kind="dr2s"`` without ``te``, delta R2* itself (1/s).
    time : array (n_time,)
        Frame times (s).
    kind : "signal" or "dr2s"
        ``100 (S0 - S_min)/S0`` (percent of S0), or the largest delta R2* (1/s).
    te : float, optional
        Echo time (s), to turn signal into delta R2*.
    arrival, baseline
        As for :func:`psr`.
    first_pass : float
        Seconds after arrival in which the peak is looked for.

    Returns
    -------
    array (...)
        NaN where the peak is within the noise.

    Raises
    ------
    NotEvaluable
        As :func:`psr`, without the tail.

    Examples
    --------
    >>> t = np.arange(0.0, 120.0, 2.0)
    >>> s = np.where(t < 30, 100.0, 88.0) - np.where((t >= 30) & (t < 40), 48.0, 0.0)
    >>> float(peak_height(s, t, arrival=30.0)), float(
    ...     peak_height(s, t, kind="dr2s", te=0.03, arrival=30.0).round(2))
    (60.0, 30.54)
    """
    if kind not in ("signal", "dr2s"):
        raise ValueError(f"kind must be signal or dr2s, found {kind!r}")
    rates = kind == "dr2s" and te is None
    values = -np.asarray(signal, dtype=np.float64) if rates else signal
    data, seconds, start, frames = _prepared(values, time, arrival, baseline, rates=rates)
    search = (seconds >= start) & (seconds < start + first_pass)
    search[frames] = False
    before = data[..., frames].mean(axis=-1)
    drop = _drop(data, before, frames, search)
    if rates:
        return drop
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float64] = drop / before
        if kind == "signal" or te is None:
            return 100.0 * share
        return np.asarray(-np.log(np.where(share < 1, 1.0 - share, np.nan)) / te)


def time_to_peak(
    delta_r2star_curves: ArrayLike, time: ArrayLike, frames: tuple[int, int]
) -> NDArray[np.float64]:
    """Return when delta R2* peaks within some frames (s), by a parabola through three samples.

    Examples
    --------
    >>> t = np.arange(0.0, 30.0, 1.5)
    >>> float(time_to_peak(np.exp(-((t - 12.4) / 5) ** 2), t, (4, 16)).round(1))
    12.4
    """
    data = np.asarray(delta_r2star_curves, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    top = np.argmax(data[..., frames[0] : frames[1]], axis=-1) + frames[0]
    middle = np.clip(top, 1, seconds.size - 2)
    left, at, right = (
        np.take_along_axis(data, (middle + k)[..., None], axis=-1)[..., 0] for k in (-1, 0, 1)
    )
    bend = left - 2.0 * at + right
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(bend < 0, 0.5 * (left - right) / bend, 0.0)
    step = 0.5 * (seconds[middle + 1] - seconds[middle - 1])
    return np.asarray(seconds[middle] + np.clip(part, -1.0, 1.0) * step)


def area(
    delta_r2star_curves: ArrayLike,
    time: ArrayLike,
    frames: tuple[int, int] | None = None,
    kept: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return the area under delta R2* (trapezoidal rule; the relative CBV), unitless.

    Frames that are not kept are bridged by their neighbours.
    """
    data = np.asarray(delta_r2star_curves, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    good = np.ones(seconds.size, bool) if kept is None else np.array(kept, dtype=bool)
    if frames is not None:
        inside = np.zeros(seconds.size, bool)
        inside[frames[0] : frames[1]] = True
        good &= inside
    return np.asarray(np.trapezoid(data[..., good], seconds[good], axis=-1))


def _prepared(
    signal: ArrayLike,
    time: ArrayLike,
    arrival: float | None,
    baseline: Span | None,
    *,
    rates: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, slice]:
    """Return signal, times, arrival and baseline frames, the last two detected where not given."""
    data = np.asarray(signal, dtype=np.float64)
    seconds = np.asarray(time, dtype=np.float64)
    if data.shape[-1:] != seconds.shape:
        raise ValueError(f"signal {data.shape} and time {seconds.shape} disagree")
    first = 0
    if arrival is None:
        from afterglow.perfusion.dsc_windows import find_windows

        rows = data.reshape(-1, seconds.size)
        mean = rows[np.isfinite(rows).all(axis=1)].mean(axis=0)
        found = find_windows(np.exp(0.05 * mean) if rates else mean, seconds)
        arrival, first = found.arrival, found.baseline[0]
    frames = _baseline_frames(baseline, seconds, arrival, first)
    if frames.stop - frames.start < 1:
        raise NotEvaluable("no_baseline", "no frame lies before the arrival of contrast")
    return data, seconds, arrival, frames


def _baseline_frames(
    baseline: Span | None, seconds: NDArray[np.float64], arrival: float, first: int
) -> slice:
    """Return the baseline as frames."""
    if baseline is None:
        return slice(first, max(int(np.searchsorted(seconds, arrival)), first))
    if isinstance(baseline, int | np.integer):
        return slice(0, int(baseline))
    low, high = baseline
    if isinstance(low, int | np.integer) and isinstance(high, int | np.integer):
        return slice(int(low), int(high))
    return slice(int(np.searchsorted(seconds, low)), int(np.searchsorted(seconds, high, "right")))


def _drop(
    data: NDArray[np.float64],
    before: NDArray[np.float64],
    frames: slice,
    search: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the fall from baseline to minimum, NaN where it is within the noise."""
    if not search.any():
        raise NotEvaluable("no_bolus", "no frame lies between arrival and tail")
    falls = before[..., None] - data[..., search]
    observed = falls.max(axis=-1)
    noise = _noise(data[..., frames])
    drop = _unbiased(observed, noise, falls)
    with np.errstate(invalid="ignore"):
        clear = (drop > 0) & (observed > _NOISE_LIMIT * noise)
    return np.where(clear, drop, np.nan)


def _noise(baseline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise of each voxel from differences of its baseline frames (blind to drift)."""
    if baseline.shape[-1] < 3:
        return np.zeros(baseline.shape[:-1])
    return np.asarray(np.sqrt(np.mean(np.diff(baseline, axis=-1) ** 2, axis=-1) / 2.0))


def _unbiased(
    observed: NDArray[np.float64], noise: NDArray[np.float64], falls: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fall without the expected excess of the largest of several noisy samples.

    The excess depends on how flat the bottom is; the shape of the mean curve stands for every
    voxel's, and the excess is tabulated against the ratio of fall to noise.
    """
    rows = falls.reshape(-1, falls.shape[-1])
    mean = rows[np.isfinite(rows).all(axis=1)].sum(axis=0)
    if not mean.max() > 0 or not np.any(noise > 0):
        return observed
    shape = np.clip(_smooth(mean) / _smooth(mean).max(), 0.0, 1.0)
    ratios = np.concatenate([np.linspace(0.0, 12.0, 25), np.geomspace(14.0, 60.0, 8)])
    grid = np.linspace(-8.0, 70.0, 781)
    from scipy.special import ndtr

    below = np.prod(ndtr(grid[None, :, None] - ratios[:, None, None] * shape), axis=-1)
    expected = grid[0] + np.trapezoid(1.0 - below, grid, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(noise > 0, observed / noise, np.inf)
        far = observed - noise * (expected[-1] - ratios[-1])
        near = noise * np.interp(seen, expected, ratios)
    return np.asarray(np.where(seen >= expected[-1], far, near))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a quadratic smooth over five frames (Savitzky-Golay), which keeps a dip's depth."""
    if values.size < 5:
        return values
    weights = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35.0
    return np.asarray(np.convolve(np.pad(values, 2, mode="edge"), weights, mode="valid"))
