"""T1 of the combined image of MP2RAGE, by look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.t1_map import T1_RANGE, T1Map, chosen_voxels, finish
from afterglow.perfusion.t1_steady_state import inversion_signals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

_T1_GRID = np.geomspace(*T1_RANGE, 2000)
_B1_STEP = 0.01


def combined_image(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return the combined image of two complex readouts: ``Re(S1* S2)/(|S1|^2 + |S2|^2)``.

    Examples
    --------
    >>> float(combined_image(-1.0, 1.0))
    -0.5
    """
    a, b = np.asarray(first), np.asarray(second)
    power = np.abs(a) ** 2 + np.abs(b) ** 2
    with np.errstate(all="ignore"):
        return np.asarray(np.real(np.conj(a) * b) / np.where(power > 0, power, np.nan))


def fit_mp2rage(
    combined: ArrayLike,
    inversion_times: Sequence[float],
    flip_angles: Sequence[float],
    tr: float,
    cycle: float,
    pulses: tuple[int, int],
    *,
    b1: ArrayLike | None = None,
    efficiency: float = 0.96,
    noise: float | None = None,
    mask: ArrayLike | None = None,
) -> T1Map:
    """Return T1 from the combined MP2RAGE image (Marques 2010, NeuroImage 49:1271).

    The image as a function of T1 falls monotonically over a range of T1 only; values outside that
    range have no T1. With a map of the flip-angle ratio the table is made for every hundredth of
    the ratio (Marques and Gruetter 2013, PLoS ONE 8:e69294).

    Parameters
    ----------
    combined : array (...)
        Combined image, -0.5 to 0.5.
    inversion_times : (float, float)
        Inversion to the middle of each readout (s).
    flip_angles : (float, float)
        Nominal flip angles of the readouts (degrees).
    tr : float
        Repetition time within a readout (s).
    cycle : float
        Inversion to inversion (s).
    pulses : (int, int)
        Pulses of a readout before its middle, and from the middle on.
    b1 : float or array (...), optional
        Ratio of actual to nominal flip angle.
    efficiency : float
        Of the inversion.
    noise : float, optional
        Standard deviation of the combined image, which becomes the standard error of T1.
    mask : array (...) of bool, optional
        Voxels to map.

    Returns
    -------
    T1Map
        ``m0`` is NaN: the combined image is free of it.

    Raises
    ------
    ValueError
        Where there are not two readouts, or they do not fit into the cycle.

    Examples
    --------
    >>> how = ([0.7, 2.5], [4.0, 5.0], 0.007, 5.0, (80, 80))
    >>> s = inversion_signals(1.3, 1.0, *how[:2], how[2], how[4], how[3], 0.96)
    >>> float(fit_mp2rage(combined_image(s[0], s[1]), *how).t1.round(3))
    1.3
    """
    if len(inversion_times) != 2 or len(flip_angles) != 2:
        raise ValueError("MP2RAGE has two inversion times and two flip angles")
    given = np.asarray(combined, dtype=np.float64)
    data = np.atleast_1d(given)
    ratio = np.broadcast_to(1.0 if b1 is None else np.asarray(b1, dtype=np.float64), data.shape)
    where = chosen_voxels(mask, data.shape)
    maps = {name: np.full(data.shape, np.nan) for name in ("t1", "m0", "se_t1", "se_m0")}
    values, scales = data.ravel()[where], ratio.ravel()[where]
    known = np.isfinite(values) & np.isfinite(scales) & (scales > 0)
    steps = np.where(known, np.rint(np.where(known, scales, 1.0) / _B1_STEP), 0).astype(np.int64)
    for step in np.unique(steps[known]):
        rows = np.flatnonzero(known & (steps == step))
        signals = inversion_signals(
            _T1_GRID, step * _B1_STEP, inversion_times, flip_angles, tr, pulses, cycle, efficiency
        )
        t1, slope = _look_up(values[rows], combined_image(signals[:, 0], signals[:, 1]))
        maps["t1"].ravel()[where[rows]] = t1
        if noise is not None:
            maps["se_t1"].ravel()[where[rows]] = noise * np.abs(slope)
    return finish(maps, given.shape)


def _look_up(values: Array, table: Array) -> tuple[Array, Array]:
    """Return T1 and its slope in the image, on the longest stretch where the table falls."""
    falls = np.diff(table) < 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], falls, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    part = slice(starts[longest], stops[longest] + 1)
    image, t1 = table[part][::-1], _T1_GRID[part][::-1]
    slope = np.gradient(t1, image)
    inside = (values >= image[0]) & (values <= image[-1])
    return (
        np.where(inside, np.interp(values, image, t1), np.nan),
        np.where(inside, np.interp(values, image, slope), np.nan),
    )
