"""T1 of variable flip angles (DESPOT1), linear and nonlinear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from afterglow.perfusion.t1_map import T1_RANGE, T1Map, chosen_voxels, finish

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BLOCK_VALUES = 100_000


def fit_vfa(
    signal: ArrayLike,
    flip_angles: ArrayLike,
    tr: ArrayLike,
    b1: ArrayLike | None = None,
    method: Literal["nonlinear", "linear"] = "nonlinear",
    *,
    mask: ArrayLike | None = None,
    threads: int | None = 1,
) -> T1Map:
    """Return T1 from spoiled gradient echoes of several flip angles.

    ``S = M0 sin a (1 - E1)/(1 - cos a E1)``, ``E1 = exp(-TR/T1)``. The nonlinear fit minimizes the
    squared residual of the signal; the linear one (Fram 1987) that of ``S/sin a`` against
    ``S/tan a``, which is fast and biased by noise.

    Parameters
    ----------
    signal : array (..., n_angles)
        Signals, arbitrary unit.
    flip_angles : array (n_angles,)
        Nominal flip angles (degrees).
    tr : float or array (n_angles,)
        Repetition time (s); the linear method wants a single one.
    b1 : float or array (...), optional
        Ratio of actual to nominal flip angle.
    method : "nonlinear" or "linear"
        See above.
    mask : array (...) of bool, optional
        Voxels to fit.
    threads : int or None
        Threads to use; None for all.

    Returns
    -------
    T1Map

    Raises
    ------
    ValueError
        Where shapes disagree, there are fewer than two different angles, or a time is not positive.

    Examples
    --------
    >>> from afterglow.perfusion.signal import spgr_signal
    >>> angles = np.array([2.0, 5.0, 12.0])
    >>> r = fit_vfa(spgr_signal(1 / 1.2, 1000.0, 0.006, angles), angles, 0.006)
    >>> float(r.t1.round(6)), float(r.m0.round(3))
    (1.2, 1000.0)
    """
    from afterglow.perfusion.compiled import each

    data, angles, times = _checked(signal, flip_angles, tr)
    if method == "linear" and np.ptp(times) > 1e-6 * times[0]:
        raise ValueError("the linear method wants one repetition time for all angles")
    if method not in {"linear", "nonlinear"}:
        raise ValueError(f"method must be nonlinear or linear, found {method!r}")
    given, data = data.shape[:-1], np.atleast_2d(data)
    shape = data.shape[:-1]
    where = chosen_voxels(mask, shape)
    ratio = np.broadcast_to(1.0 if b1 is None else np.asarray(b1, dtype=np.float64), shape)
    maps = {name: np.full(shape, np.nan) for name in ("t1", "m0", "se_t1", "se_m0")}
    size = max(_BLOCK_VALUES // angles.size, 1)

    def work(start: int) -> None:
        place = np.unravel_index(where[start : start + size], shape)
        block, scale = np.ascontiguousarray(data[place], dtype=np.float64), ratio[place]
        for name, values in zip(maps, _fit_block(block, angles, times, scale, method), strict=True):
            maps[name][place] = values

    each(work, range(0, where.size, size), threads)
    return finish(maps, given)


def _checked(
    signal: ArrayLike, flip_angles: ArrayLike, tr: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.float64], NDArray[np.float64]]:
    """Return signal, angles (radians) and repetition times (s), refusing what cannot be meant."""
    data = np.asarray(signal)
    angles = np.atleast_1d(np.asarray(flip_angles, dtype=np.float64))
    if data.shape[-1:] != angles.shape:
        raise ValueError(f"{data.shape} holds no images of {angles.size} flip angles")
    if np.unique(angles).size < 2 or np.any(angles <= 0) or np.any(angles >= 180):
        raise ValueError(f"at least two different flip angles (degrees), found {angles.tolist()}")
    times = np.broadcast_to(np.asarray(tr, dtype=np.float64), angles.shape).copy()
    if not np.all(times > 0):
        raise ValueError("tr must be positive seconds")
    return data, np.deg2rad(angles), times


def _fit_block(
    data: NDArray[np.float64],
    angles: NDArray[np.float64],
    tr: NDArray[np.float64],
    b1: NDArray[np.float64],
    method: str,
) -> tuple[NDArray[np.float64], ...]:
    """Return T1, M0 and their standard errors of voxels (n_voxels, n_angles)."""
    from afterglow.perfusion.t1_kernels import fit_rates

    n_voxels, n = data.shape
    usable = np.isfinite(data).all(axis=1) & np.isfinite(b1) & (b1 > 0) & (data.max(axis=1) > 0)
    y, scale_b1 = np.where(usable[:, None], data, 1.0), np.where(usable, b1, 1.0)
    e1, intercept, se_e1, se_intercept = _line(y, angles * scale_b1[:, None])
    with np.errstate(all="ignore"):
        rate = -np.log(e1) / tr.mean()
    possible = np.isfinite(rate) & (rate > 0)
    if method == "linear":
        with np.errstate(all="ignore"):
            t1, m0 = 1.0 / rate, intercept / (1.0 - e1)
            se_t1 = se_e1 * t1**2 / (tr[0] * e1)
            se_m0 = np.hypot(se_intercept, m0 * se_e1) / (1.0 - e1)
        good = usable & possible & (m0 > 0)
    else:
        low, high = 0.5 / T1_RANGE[1], 10.0 / T1_RANGE[0]
        start = np.where(possible, rate, 1.0)
        fitted, m0, rss = (np.empty(n_voxels) for _ in range(3))
        variances, rested = np.empty((n_voxels, 2)), np.empty(n_voxels, dtype=bool)
        fixed = (y, angles, scale_b1, tr, start, low, high)
        found = (fitted, m0, rss, variances, rested)
        fit_rates(0, n_voxels, *fixed, *found)
        sigma2 = rss / (n - 2) if n > 2 else np.full(n_voxels, np.nan)
        t1 = 1.0 / fitted
        se_t1, se_m0 = t1 * np.sqrt(sigma2 * variances[:, 0]), np.sqrt(sigma2 * variances[:, 1])
        at_bound = (fitted <= low * (1 + 1e-9)) | (fitted >= high * (1 - 1e-9))
        good = usable & rested & (m0 > 0) & ~at_bound
    return tuple(np.where(good, x, np.nan) for x in (t1, m0, se_t1, se_m0))


def _line(y: NDArray[np.float64], angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return slope, intercept and their errors of ``S/sin`` against ``S/tan``."""
    ordinate, abscissa = y / np.sin(angles), y / np.tan(angles)
    n = y.shape[1]
    mean_x, mean_y = abscissa.mean(axis=1), ordinate.mean(axis=1)
    dx, dy = abscissa - mean_x[:, None], ordinate - mean_y[:, None]
    with np.errstate(all="ignore"):
        power = (dx * dx).sum(axis=1)
        slope = (dx * dy).sum(axis=1) / power
        intercept = mean_y - slope * mean_x
        left = ((dy - slope[:, None] * dx) ** 2).sum(axis=1)
        sigma2 = left / (n - 2) if n > 2 else np.full(y.shape[0], np.nan)
        se_slope = np.sqrt(sigma2 / power)
        se_intercept = np.sqrt(sigma2 * (1.0 / n + mean_x**2 / power))
    return slope, intercept, se_slope, se_intercept
