"""Growth of one lesion: its rate between sessions, and the exponent of its law of growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONTH = 30.4375  # days
_LEAST = 3
_SPARE = 2  # degrees of freedom from which the spread may come from the residuals
_LIMIT = 3.841  # 95 % of chi-square with one degree of freedom
_GRID = np.round(np.arange(-100, 301) / 100.0 + 1e-4, 6)  # the law has a gap at exactly 1
_ROUNDS = 12


@dataclass(frozen=True)
class Growth:
    """Exponent of dV/dt = a V^exponent with 95 % limits (profile likelihood).

    All are NaN where ``reason`` says why there is none: ``fewer_than_three_growing``,
    ``no_repeatability`` (nothing tells the noise of the volumes) or ``not_identifiable`` (the
    limits reach beyond -1 or 3).
    """

    exponent: float
    low: float
    high: float
    n: int
    reason: str = ""


def growing_run(volumes: Sequence[float]) -> int:
    """Return how many of the last volumes grew one after the other.

    Examples
    --------
    >>> growing_run([2.0, 1.0, 1.5, 2.5]), growing_run([1.0, float("nan"), 2.0])
    (3, 1)
    """
    count = 0
    for k in range(len(volumes) - 1, -1, -1):
        after = volumes[k + 1] if k + 1 < len(volumes) else float("inf")
        if not 0 < volumes[k] < after:
            break
        count += 1
    return count


def growth_exponent(
    days: Sequence[float], volumes: Sequence[float], within_cv: float | None = None
) -> Growth:
    """Return the exponent of growth over the last volumes that grew one after the other.

    The law dV/dt = a V^b (Ocana-Tienda 2022, after von Bertalanffy) is fitted to the logarithms of
    the volumes for every exponent b between -1 and 3; what lies above the smallest sum of squares
    by 3.84 variances is left out. The variance is that of repeated volumes, else that of the
    residuals where there are five volumes or more.

    Parameters
    ----------
    days, volumes : sequence of float
        Days and volumes (mL) in order of time.
    within_cv : float, optional
        Within-subject coefficient of variation of volumes (fraction).

    Examples
    --------
    >>> days = np.array([0.0, 60, 120, 180, 240])
    >>> found = growth_exponent(days, np.exp(0.01 * days), 0.02)
    >>> round(found.exponent, 2), found.low < 1 < found.high
    (1.0, True)
    """
    n = growing_run(volumes)
    if n < _LEAST:
        return _none(n, "fewer_than_three_growing")
    t = np.asarray(days[-n:], dtype=np.float64)
    v = np.asarray(volumes[-n:], dtype=np.float64)
    if not (np.diff(t) > 0).all():
        return _none(n, "no_dates")
    squares = _profile((t - t[0]) / (t[-1] - t[0]), v / np.exp(np.log(v).mean()))
    best = int(np.nanargmin(squares))
    if within_cv is not None:
        variance = float(np.log1p(within_cv**2))
    elif n - 3 >= _SPARE:
        variance = float(squares[best]) / (n - 3)
    else:
        return _none(n, "no_repeatability")
    inside = np.flatnonzero(squares - squares[best] <= _LIMIT * variance)
    if inside[0] == 0 or inside[-1] == len(_GRID) - 1:
        return _none(n, "not_identifiable")
    low, high = float(_GRID[inside[0]]), float(_GRID[inside[-1]])
    return Growth(float(_GRID[best]), low, high, n)


def _none(n: int, reason: str) -> Growth:
    return Growth(float("nan"), float("nan"), float("nan"), n, reason)


def _profile(t: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least sum of squared logarithmic residuals for every exponent of the grid.

    V^(1-b) is linear in time; weights from the fitted values make its least squares those of the
    logarithms, to first order. NaN where no growing curve of that exponent passes through.
    """
    power = 1 - _GRID[:, None]
    y = v[None, :] ** power
    weights = 1 / (power * y) ** 2
    fitted = y
    for _ in range(_ROUNDS):
        fitted = _line(t, y, weights)
        good = (fitted > 0).all(axis=1, keepdims=True)
        weights = np.where(good, 1 / (power * np.where(good, fitted, 1.0)) ** 2, weights)
    with np.errstate(invalid="ignore"):
        residuals = np.log(v)[None, :] - np.log(fitted) / power
    squares = (residuals**2).sum(axis=1)
    return np.where(np.isfinite(squares), squares, np.inf)


def _line(
    t: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values of weighted straight lines through the rows of ``y``."""
    total = weights.sum(axis=1, keepdims=True)
    middle = (weights * t).sum(axis=1, keepdims=True) / total
    mean = (weights * y).sum(axis=1, keepdims=True) / total
    slope = (weights * (t - middle) * y).sum(axis=1, keepdims=True) / (
        weights * (t - middle) ** 2
    ).sum(axis=1, keepdims=True)
    return np.asarray(mean + slope * (t - middle))


def change_per_month(days: Sequence[float | None], sizes: Sequence[float]) -> list[float]:
    """Return the change (%) per month since the last earlier positive size, compounded.

    NaN at the first session, without dates, and where a lesion is gone.

    Examples
    --------
    >>> [round(x, 1) for x in change_per_month([0, 2 * MONTH], [1.0, 1.21])]
    [nan, 10.0]
    """
    found = []
    last: tuple[float, float] | None = None
    for day, size in zip(days, sizes, strict=True):
        rate = float("nan")
        usable = day is not None and size > 0
        if usable and last is not None and day > last[0]:  # type: ignore[operator]
            months = (day - last[0]) / MONTH  # type: ignore[operator]
            rate = 100 * (float(np.exp(np.log(size / last[1]) / months)) - 1)
        found.append(rate)
        if usable:
            last = (float(day), float(size))  # type: ignore[arg-type]
    return found
