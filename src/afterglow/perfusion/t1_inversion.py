"""T1 of inversion recovery, magnitude or signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from afterglow.perfusion.t1_map import T1_RANGE, T1Map, chosen_voxels, finish

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

_BLOCK_VOXELS = 20_000
_GRID = 400
_NAMES = ("t1", "m0", "se_t1", "se_m0")


def fit_inversion_recovery(
    signal: ArrayLike,
    inversion_times: ArrayLike,
    *,
    magnitude: bool = True,
    mask: ArrayLike | None = None,
    threads: int | None = 1,
) -> T1Map:
    """Return T1 of an inversion recovery with the reduced-dimension fit of Barral 2010.

    ``S = a + b exp(-TI/T1)`` (MRM 64:1057): offset and factor follow at once for a given T1, which
    is searched on a grid and then refined. Of magnitude images the sign is restored: the images
    before the null are negative, and the place of the null is the one that fits best.

    Parameters
    ----------
    signal : array (..., n_times)
        Signals, arbitrary unit.
    inversion_times : array (n_times,)
        At least four different ones (s).
    magnitude : bool
        False where the signal carries its sign.
    mask : array (...) of bool, optional
        Voxels to fit.
    threads : int or None
        Threads to use; None for all.

    Returns
    -------
    T1Map
        ``m0`` is the offset ``a``, the signal of a full recovery within the repetition time.

    Raises
    ------
    ValueError
        Where shapes disagree or there are fewer than four inversion times.

    Examples
    --------
    >>> times = np.array([0.05, 0.4, 0.9, 1.8, 3.5])
    >>> r = fit_inversion_recovery(np.abs(800 * (1 - 1.9 * np.exp(-times / 1.1))), times)
    >>> float(r.t1.round(5)), float(r.m0.round(2))
    (1.1, 800.0)
    """
    from afterglow.perfusion.compiled import each

    given, times = np.asarray(signal), np.atleast_1d(np.asarray(inversion_times, dtype=np.float64))
    if given.shape[-1:] != times.shape:
        raise ValueError(f"{given.shape} holds no images of {times.size} inversion times")
    if np.unique(times).size < 4 or np.any(times < 0):
        raise ValueError(f"at least four inversion times (s), found {times.tolist()}")
    order = np.argsort(times)
    data, times = np.atleast_2d(given)[..., order], times[order]
    shape = data.shape[:-1]
    maps = {name: np.full(shape, np.nan) for name in _NAMES}
    where = chosen_voxels(mask, shape)

    def work(start: int) -> None:
        place = np.unravel_index(where[start : start + _BLOCK_VOXELS], shape)
        block = np.ascontiguousarray(data[place], dtype=np.float64)
        usable = np.isfinite(block).all(axis=1) & (np.ptp(block, axis=1) > 0)
        found = _fit(np.where(usable[:, None], block, times), times, magnitude)
        for name, values in zip(_NAMES, found, strict=True):
            maps[name][place] = np.where(usable, values, np.nan)

    each(work, range(0, where.size, _BLOCK_VOXELS), threads)
    return finish(maps, given.shape[:-1])


def _fit(y: Array, times: Array, magnitude: bool) -> tuple[Array, Array, Array, Array]:
    """Return T1, offset and their standard errors, NaN where no recovery is found."""
    n = times.size
    grid = np.geomspace(*T1_RANGE, _GRID)
    null = y.argmin(axis=1) if magnitude else np.full(y.shape[0], -1)
    best = np.full(y.shape[0], np.inf)
    signed, t1, inner = y.copy(), np.ones(y.shape[0]), np.zeros(y.shape[0], dtype=bool)
    # The null lies just before or just after the smallest magnitude.
    for more in (0, 1) if magnitude else (1,):
        trial = np.where(np.arange(n) < (null + more)[:, None], -y, y)
        place = _profile(trial, times, grid).argmin(axis=1)
        value = _refine(trial, times, grid, np.clip(place, 1, _GRID - 2))
        rss = _line(trial, np.exp(-times / value[:, None]))[2]
        better = rss < best
        best, t1 = np.where(better, rss, best), np.where(better, value, t1)
        inner = np.where(better, (place > 0) & (place < _GRID - 1), inner)
        signed[better] = trial[better]
    decay = np.exp(-times / t1[:, None])
    offset, factor, rss = _line(signed, decay)
    slope = factor[:, None] * decay * times / t1[:, None] ** 2
    jac = np.stack([slope, np.ones_like(decay), decay], axis=1)
    length = np.linalg.norm(jac, axis=2)
    unit = jac / np.where(length > 0, length, 1.0)[:, :, None]
    normal = np.einsum("nkm,nlm->nkl", unit, unit)
    good = inner & (offset > 0) & (factor < 0) & (np.linalg.det(normal) > 1e-12)
    inverse = np.linalg.inv(np.where(good[:, None, None], normal, np.eye(3)))
    with np.errstate(all="ignore"):
        variance = np.einsum("nkk->nk", inverse) / length**2 * (rss / (n - 3))[:, None]
        errors = np.sqrt(variance)
    return tuple(np.where(good, x, np.nan) for x in (t1, offset, errors[:, 0], errors[:, 1]))  # type: ignore[return-value]


def _profile(y: Array, times: Array, grid: Array) -> Array:
    """Return the residual sum of squares (n_voxels, n_grid) with the best offset and factor."""
    decay = np.exp(-times[None, :] / grid[:, None])
    centred = decay - decay.mean(axis=1, keepdims=True)
    power = np.sum(centred**2, axis=1)
    left = y - y.mean(axis=1, keepdims=True)
    product = left @ centred.T
    return np.asarray(np.sum(left**2, axis=1)[:, None] - product**2 / power[None, :])


def _line(y: Array, decay: Array) -> tuple[Array, Array, Array]:
    """Return offset, factor and residual sum of squares for given decays."""
    centred = decay - decay.mean(axis=1, keepdims=True)
    left = y - y.mean(axis=1, keepdims=True)
    factor = np.sum(left * centred, axis=1) / np.sum(centred**2, axis=1)
    rss = np.sum((left - factor[:, None] * centred) ** 2, axis=1)
    return y.mean(axis=1) - factor * decay.mean(axis=1), factor, rss


def _refine(y: Array, times: Array, grid: Array, place: NDArray[np.intp]) -> Array:
    """Return T1 of the least residual between the neighbours of a grid point (golden section)."""
    low, high = np.log(grid[place - 1]), np.log(grid[place + 1])
    part = (np.sqrt(5.0) - 1.0) / 2.0

    def rss(log_t1: Array) -> Array:
        return _line(y, np.exp(-times / np.exp(log_t1)[:, None]))[2]

    left, right = high - part * (high - low), low + part * (high - low)
    at_left, at_right = rss(left), rss(right)
    for _ in range(40):
        down = at_left < at_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        fresh = np.where(down, high - part * (high - low), low + part * (high - low))
        value = rss(fresh)
        left, right = np.where(down, fresh, right), np.where(down, left, fresh)
        at_left, at_right = np.where(down, value, at_right), np.where(down, at_left, value)
    return np.asarray(np.exp(0.5 * (low + high)))
